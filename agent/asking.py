"""Asks a planner, checks what it says, and shows it to a person where one is to decide.

    propose ─▶ check ─▶ review ─▶ a proposal that may be carried out
       ▲ repair  │  reject │
       └─────────┴─────────┘

The one idea: whoever proposes, the same checks hold, and what comes out of here passes them. A planner may repair a
refused proposal a few times; a person may turn one down as often as they like, and the next question tells the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from agent.calls import Calls
from agent.checks import check
from agent.observation import Observation, Remark
from agent.planners import Planner
from agent.proposal import CheckFailure, Decision, Ending, Fault, Proposal, Review, Verdict
from agent.review import Reviewer, ReviewError, Sheet, edited, judge, proposal_sheet, remark
from agent.trace import Checked, Proposed, Reviewed

MAX_REPAIRS = 3
"""How often a planner may repair a proposal that fails the checks, before the run ends with the best attempt."""
MAX_STALE = 3
"""So many decisions in a row on a sheet that is not the one shown end the run."""

Observe = Callable[[tuple[CheckFailure, ...], tuple[Remark, ...]], Observation]
"""The state of the run, with why the last proposal was refused and what a person turned down so far."""


class Asking:
    """One planner, and the person beside it.

    Parameters
    ----------
    review
        On what the person decides.
    reviewer
        The person; needed unless ``review`` is ``none``.
    """

    def __init__(
        self, call: Calls, planner: Planner, review: Review = "none", reviewer: Reviewer | None = None
    ) -> None:
        if review != "none" and reviewer is None:
            raise ValueError(f"review {review!r} needs a reviewer.")
        self._call = call
        self._planner = planner
        self._reviewer = reviewer
        self._each = review == "each"
        self._remarks: list[Remark] = []

    def next_proposal(self, observe: Observe) -> Proposal:
        """A proposal that passes the checks and the person, or one to stop."""
        failures: tuple[CheckFailure, ...] = ()
        repairs = 0
        while repairs <= MAX_REPAIRS:
            observation = observe(failures, tuple(self._remarks))
            proposal = self._planner.propose(observation, self._call.tell)
            failures = self._checked(proposal, observation)
            if failures:
                repairs += 1
            elif (reviewed := self._reviewed(proposal, observation)) is not None:
                return reviewed
        why = f"The planner's proposal was refused {1 + MAX_REPAIRS} times, last: {'; '.join(map(str, failures))}"
        return Proposal(why, stop=True, ending=Ending.BROKEN_OFF)

    def decision(self, sheet: Sheet, problems: tuple[CheckFailure, ...] = ()) -> Decision:
        """What the person says to a sheet; one who answers to another sheet is shown this one again.

        Raises
        ------
        ReviewError
            There is nobody to ask, or every answer was to another sheet.
        """
        if self._reviewer is None:
            raise ReviewError("a decision is needed, and there is nobody to ask.")
        for tries_left in reversed(range(MAX_STALE)):
            decision = self._reviewer.decide(sheet, problems)
            try:
                judge(decision, sheet)
            except ReviewError as error:
                if not tries_left:
                    raise
                problems = (CheckFailure(Fault.SCHEMA, "", "decision", None, str(error), "a decision on this sheet"),)
                continue
            break
        self._call.tell(Reviewed(sheet.attempt, sheet.kind, decision))
        return decision

    def _checked(
        self, proposal: Proposal, observation: Observation, by: Literal["planner", "person"] = "planner"
    ) -> tuple[CheckFailure, ...]:
        number = len(observation.history) + 1
        self._call.tell(Proposed(number, proposal))
        failures = check(proposal, observation)
        self._call.tell(Checked(number, failures, by))
        return failures

    def _reviewed(self, proposal: Proposal, observation: Observation) -> Proposal | None:
        """The proposal as the person lets it pass; None where it was turned down, with the reason remembered."""
        if not self._each or proposal.stop:
            return proposal
        sheet = proposal_sheet(proposal, observation)
        problems: tuple[CheckFailure, ...] = ()
        while True:
            decision = self.decision(sheet, problems)
            if decision.verdict is Verdict.STOP:
                why = f"Stopped by the reviewer. {decision.reason}".strip()
                return Proposal(why, stop=True, ending=Ending.PERSON)
            if decision.verdict is Verdict.REJECT:
                self._remarks.append(remark(sheet, decision))
                return None
            if decision.verdict is Verdict.ACCEPT:
                return proposal
            changed = edited(proposal, decision)
            problems = self._checked(changed, observation, by="person")
            if not problems:
                return changed
