"""What `python -m tests.planners` says of a row that is not as it should be, and how it ends then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.planners import __main__ as command
from tests.planners.models import m2m_wrong, sage_wrong, zero_shot_wrong
from tests.planners.running import RunFailed, Wrong

SOUND: Mapping[str, Any] = {"format_errors": {}, "restoration": {"within": True}, "trace_verifies": True}
SAGE: Mapping[str, Any] = {
    **SOUND,
    "arm_shown": "plain",
    "goals": {"1": "5/5", "2": "12/12"},
    "refined": True,
    "ci_before_after": [0.92, 0.94],
    "made_worse": [],
    "numbers_said": {"hit": 38},
}
ZERO_SHOT: Mapping[str, Any] = {
    **SOUND,
    "arm_shown": "without priors",
    "is_no_worse_than_first": True,
    "prompt_has_priors": False,
    "arm": {"blocks": {"priors": False}},
    "numbers_said": {"hit": 3, "not-checkable": 1},
}


def m2m(arm: str, met: int, ramp: float, **changed: Any) -> dict[str, Any]:
    start = {"met": 4, "of": 9, "ramp": 4.0}
    score = {"met": met, "of": 9, "ramp": ramp}
    row = {**SOUND, "protocol": "p", "arm_shown": arm, "score_at_start": start, "score": score, "body_max_gy": 84.0}
    return {**row, **changed}


M2M = (
    m2m("static", 9, 9.0),
    m2m("with knowledge, random start", 9, 8.7),
    m2m("without knowledge, random start", 8, 8.0),
)
_, TOLD, UNTOLD = M2M


def test_rows_as_they_should_be_pass() -> None:
    """Nothing is found where there is nothing."""
    assert [sage_wrong(SAGE), zero_shot_wrong(ZERO_SHOT), *(m2m_wrong(row, M2M) for row in M2M)] == [[]] * 5


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"goals": {"1": "4/5", "2": "12/12"}}, "every goal is met"),
        ({"ci_before_after": [0.94, 0.94]}, "CI is better after it"),
        ({"made_worse": ["PTV D95%"]}, "nothing of coverage and organs is lost"),
        ({"numbers_said": {"hit": 3, "miss": 1}}, "wrong numbers are found, and no others"),
        ({"numbers_said": "could not be checked"}, "wrong numbers are found, and no others"),
        ({"arm_shown": "wrong numbers"}, "wrong numbers are found, and no others"),
        ({"format_errors": {"step": 1}}, "no answer was refused"),
        ({"restoration": {"within": False}}, "the best plan came back"),
        ({"trace_verifies": False}, "the trace verifies"),
    ],
)
def test_what_sage_should_do_is_checked(changed: Mapping[str, Any], named: str) -> None:
    """Each thing that its run should show is named where it does not."""
    assert sage_wrong({**SAGE, **changed}) == [named]


def test_a_run_that_never_refined_is_told() -> None:
    """Without the second stage there is no conformity before and after it."""
    unrefined = {key: value for key, value in SAGE.items() if key not in ("ci_before_after", "made_worse")}
    assert "the refinement ran" in sage_wrong({**unrefined, "refined": False})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"is_no_worse_than_first": False}, "not worse than the first attempt"),
        ({"prompt_has_priors": True}, "the prompt is one without priors"),
        ({"arm": {"blocks": {"priors": True}}}, "the arm is recorded as one without priors"),
        ({"numbers_said": {"miss": 1}}, "no wrong number was said"),
    ],
)
def test_what_zero_shot_should_do_is_checked(changed: Mapping[str, Any], named: str) -> None:
    """A worse plan, and an ablation that takes nothing away, are named."""
    assert zero_shot_wrong({**ZERO_SHOT, **changed}) == [named]


def test_what_m2m_should_do_is_checked() -> None:
    """A worse plan, no maximum of the body, no fixed set, knowledge of no help, and a run that failed are named."""
    worse = m2m("static", 3, 9.0, body_max_gy=None)
    assert m2m_wrong(worse, [worse]) == ["not worse than at the start", "the body's maximum is reported"]
    assert m2m_wrong(UNTOLD, [UNTOLD]) == ["the fixed set was tried"]
    helpless = m2m("with knowledge, random start", 8, 7.9)
    assert m2m_wrong(helpless, [*M2M[:1], helpless, UNTOLD]) == ["at least as good as without knowledge"]
    failed = {"protocol": "p", "arm_shown": "static", "failed": "exit status 1"}
    assert m2m_wrong(failed, [failed]) == ["it finished (exit status 1)"]
    assert m2m_wrong(TOLD, [failed, TOLD, UNTOLD]) == ["the fixed set was tried"]


def test_whatever_is_wrong_is_named_once_all_has_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part that finds something, and one that fails, do not keep the next from running; the exit status is 1."""
    ran: list[str] = []

    def failing() -> Wrong:
        raise RunFailed("no plan [x]")

    def finding() -> Wrong:
        return ["the core is hot"]

    def sound() -> Wrong:
        ran.append("traces")
        return []

    monkeypatch.setattr(command, "PARTS", {"planners": failing, "faults": finding, "traces": sound})
    assert command.main([]) == 1
    told = capsys.readouterr().out
    assert "planners: no plan [x]" in told
    assert "faults: the core is hot" in told
    assert ran == ["traces"]
    assert command.main(["traces"]) == 0
