"""A plan's objectives: read, added, exchanged, with names that hold.

The one idea: ESAPI's objectives have no names and cannot be changed. Names are kept by an `ObjectiveLedger` per plan. A
change is an exchange: some are removed, some added, what Eclipse made of them is read back, and either all of it
happens or the plan has what it had. What a script cannot add again (the lines of DVH estimation) is removed last, after
all that could fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import structlog

from bridge import errors, model
from bridge.backends.esapi.chart import names
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.objectives import functions as objective_functions
from bridge.backends.esapi.objectives import point_volumes
from bridge.backends.esapi.objectives.functions import FALL_OFF, Content
from bridge.backends.esapi.objectives.ledger import ObjectiveLedger
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import as_bridge_error, clean, translated

log = structlog.get_logger(__name__)


# rooms -----------------------------------------------------------------------------------------------------------


def read(chart: Chart, plan_name: str) -> list[model.Objective]:
    """The plan's objectives, the vendor's own and the normal-tissue objective among them."""
    with translated(f"read the objectives of plan {plan_name!r}"):
        opened = _Opened(chart, plan_name)
        per_percent = point_volumes.known(chart)
        return [opened.shown(name, content, per_percent) for name, content in opened.entries]


def create(chart: Chart, plan_name: str, spec: model.ObjectiveSpec) -> model.Objective:
    """Add one objective at the end."""
    with translated(f"add an objective to plan {plan_name!r}"):
        opened = _Opened(chart, plan_name)
        new = opened.wanted(spec)
        opened.require_one_fall_off([*(content for _, content in opened.entries), new])
        [made] = opened.exchange([], [new])
        return opened.only(opened.ledger.append(made))


def update(chart: Chart, objective_name: str, spec: model.ObjectiveSpec) -> model.Objective:
    """Put another objective in the place of one, under its name."""
    with translated(f"change objective {objective_name!r}"):
        opened = _Opened(chart, names.plan_of(objective_name))
        name, old = opened.entry(objective_name)
        new = opened.wanted(spec)
        others = [content for each, content in opened.entries if each != name]
        opened.require_one_fall_off([*others, new])
        if not new.is_like(old):
            [made] = opened.exchange([old], [new])
            opened.ledger.change(name, made)
        return opened.only(name)


def delete(chart: Chart, objective_name: str) -> None:
    """Remove one objective, also a vendor's."""
    with translated(f"delete objective {objective_name!r}"):
        opened = _Opened(chart, names.plan_of(objective_name))
        name, old = opened.entry(objective_name)
        opened.exchange([old], [])
        opened.ledger.remove(name)


def replace(chart: Chart, plan_name: str, specs: Sequence[model.ObjectiveSpec]) -> list[model.Objective]:
    """Other objectives instead of all that are there, under new names."""
    with translated(f"replace the objectives of plan {plan_name!r}"):
        opened = _Opened(chart, plan_name)
        new = opened.all_wanted(specs)
        made = opened.exchange([content for _, content in opened.entries], new)
        opened.ledger.clear()
        for content in made:
            opened.ledger.append(content)
    return read(chart, plan_name)


def restore(chart: Chart, plan_name: str, objectives: Sequence[model.Objective]) -> list[model.Objective]:
    """Take the plan back to objectives that it had, under their names; what is still there is not touched."""
    with translated(f"restore the objectives of plan {plan_name!r}"):
        opened = _Opened(chart, plan_name)
        present = dict(opened.entries)
        kept = {_short(each) for each in objectives if opened.is_still(each)}
        missing = [each for each in objectives if _short(each) not in kept]
        old = [content for name, content in opened.entries if name not in kept]
        made = opened.exchange(old, opened.all_wanted([each.spec for each in missing]))
        again = dict(zip(map(_short, missing), made, strict=True))
        opened.ledger.put([(name, again.get(name) or present[name]) for name in map(_short, objectives)])
    return read(chart, plan_name)


# one plan, opened for a look or a change -------------------------------------------------------------------------


class _Opened:
    """A plan's objectives at one moment, with their names."""

    def __init__(self, chart: Chart, plan_name: str) -> None:
        self._chart, self._plan_name = chart, plan_name
        plan = chart.plan(plan_name)
        self._setup = access.get(plan, "OptimizationSetup")
        record = chart.record(plan)
        if record.objectives is None:
            record.objectives = ObjectiveLedger()
        self.ledger: ObjectiveLedger = record.objectives
        self.entries = self._followed()

    def require_set_up(self) -> None:
        if self._setup is None:
            raise errors.TpsRefused(
                f"plan {self._plan_name!r} cannot be optimised in Eclipse, so it takes no objectives; choose another."
            )

    def entry(self, objective_name: str) -> tuple[str, Content]:
        short = objective_name.rpartition("/")[2]
        for name, content in self.entries:
            if name == short and objective_name == self._full(name):
                return name, content
        raise errors.NotFound(f"no objective {objective_name!r}; list the plan's objectives again.")

    def is_still(self, objective: model.Objective) -> bool:
        """Whether the plan has an objective as it was shown once, whatever was known of its volume then."""
        content = dict(self.entries).get(_short(objective))
        readings = (None, point_volumes.known(self._chart))
        return content is not None and any(
            self.shown(_short(objective), content, reading).spec == objective.spec for reading in readings
        )

    def shown(self, name: str, content: Content, per_percent: float | None) -> model.Objective:
        function = objective_functions.to_function(content, per_percent)
        fidelity = model.Fidelity.VENDOR if isinstance(function, model.VendorFunction) else model.Fidelity.EXACT
        spec = model.ObjectiveSpec(self._structure_name(content), function, content.priority)
        return model.Objective(self._full(name), spec, fidelity)

    def only(self, name: str) -> model.Objective:
        """One objective as the plan has it after a change."""
        per_percent = point_volumes.known(self._chart)
        for each, content in self._followed():
            if each == name:
                return self.shown(each, content, per_percent)
        raise errors.TpsRefused(
            f"plan {self._plan_name!r} does not have the objective that Eclipse just took; somebody changes the plan "
            "at the same time. List its objectives again."
        )

    def wanted(self, spec: model.ObjectiveSpec) -> Content:
        """What a spec is in Eclipse; everything that can be checked without Eclipse is checked first."""
        self.require_set_up()
        objective_functions.wanted(self._chart, spec, lambda: point_volumes.PERCENT)
        structure = self._chart.structure(spec.structure)
        return objective_functions.wanted(
            self._chart, spec, lambda: point_volumes.found_out(self._chart, self._setup, structure)
        )

    def all_wanted(self, specs: Sequence[model.ObjectiveSpec]) -> list[Content]:
        for spec in specs:
            objective_functions.wanted(self._chart, spec, lambda: point_volumes.PERCENT)
        new = [self.wanted(spec) for spec in specs]
        self.require_one_fall_off(new)
        return new

    def require_one_fall_off(self, contents: Sequence[Content]) -> None:
        if sum(content.kind == FALL_OFF for content in contents) > 1:
            raise errors.TpsRefused(
                f"plan {self._plan_name!r} would have two normal-tissue objectives, and Eclipse keeps one; update the "
                "one that is there."
            )

    def exchange(self, old: Sequence[Content], new: Sequence[Content]) -> list[Content]:
        """Remove some and add some, or leave the plan as it was; what was added, as Eclipse keeps it."""
        self.require_set_up()
        removed: list[Content] = []
        added: list[tuple[Any, Content]] = []
        made: list[Content] = []
        refusal: errors.BridgeError | None = None
        doomed = self._found(old)
        try:
            for thing, content in (each for each in doomed if each[1].can_be_added):
                objective_functions.remove(self._setup, thing)
                removed.append(content)
            for content in new:
                added.append((objective_functions.add(self._chart, self._setup, content), content))
                made.append(_as_kept(*added[-1]))
            for thing, content in (each for each in doomed if not each[1].can_be_added):
                objective_functions.remove(self._setup, thing)
                removed.append(content)
        except errors.BridgeError as error:
            refusal = error
        except access.net_errors() as error:
            refusal = as_bridge_error(f"change the objectives of plan {self._plan_name!r}", error)
        if refusal is not None:
            raise self._put_back(removed, added, refusal)
        return made

    def _found(self, contents: Sequence[Content]) -> list[tuple[Any, Content]]:
        """The ESAPI objects of some objectives, each object once."""
        left = objective_functions.stored(self._setup)
        found = []
        for content in contents:
            place = next((index for index, (_, present) in enumerate(left) if present.is_like(content)), None)
            if place is None:
                raise errors.TpsRefused(
                    f"plan {self._plan_name!r} does not have an objective any more that it just had; somebody changes "
                    "the plan at the same time. List its objectives again."
                )
            found.append(left.pop(place))
        return found

    def _put_back(
        self, removed: Sequence[Content], added: Sequence[tuple[Any, Content]], refusal: errors.BridgeError
    ) -> errors.BridgeError:
        """Undo one exchange; the refusal to raise, which says what the plan has lost where that fails too."""
        if isinstance(refusal, errors.TpsUnavailable):
            return refusal
        lost = [
            f"{self._described(content)} stays ({why})"
            for thing, content in added
            if (why := _why_not(objective_functions.remove, self._setup, thing)) is not None
        ] + [
            f"{self._described(content)} is gone ({why})"
            for content in removed
            if (why := _why_not(self._add_again, content)) is not None
        ]
        if not lost:
            return refusal
        log.error("objectives could not be put back", plan=self._plan_name, count=len(lost))
        return errors.TpsRefused(
            f"{refusal.message.rstrip('.')}. Nor could all that was there before be put back: {'; '.join(lost)}. List "
            f"the objectives of plan {self._plan_name!r} again, and set them anew."
        )

    def _add_again(self, content: Content) -> None:
        if not content.can_be_added:
            raise errors.TpsRefused("no script can add one")
        _as_kept(objective_functions.add(self._chart, self._setup, content), content)

    def _followed(self) -> list[tuple[str, Content]]:
        return self.ledger.follow([content for _, content in objective_functions.stored(self._setup)])

    def _described(self, content: Content) -> str:
        what, where = content.kind.removeprefix("Optimization"), self._structure_name(content)
        dose = f" at {content.dose_gy:.6g} Gy" if content.dose_gy is not None else ""
        return f"{what} on {where!r}{dose}, priority {content.priority:g}"

    def _full(self, name: str) -> str:
        return f"{self._plan_name}/objectives/{name}"

    def _structure_name(self, content: Content) -> str:
        if content.kind == FALL_OFF:
            return self._chart.structure_name(self._chart.external())
        return self._chart.structure_name_of_id(content.structure_id)


def _why_not(act: Callable[..., None], *on: Any) -> str | None:
    """Do something with an objective; the reason where that is refused."""
    try:
        act(*on)
    except errors.BridgeError as error:
        return error.message
    except access.net_errors() as error:
        return clean(access.message(error))
    return None


def _as_kept(thing: Any, asked: Content) -> Content:
    """What Eclipse made of an objective that was added; another than was asked for is refused."""
    kept = objective_functions.read(thing)
    if kept.is_like(asked):
        return kept
    told = "; ".join(
        f"{each.name} {getattr(asked, each.name)!r} came back as {getattr(kept, each.name)!r}"
        for each in fields(Content)
        if getattr(asked, each.name) != getattr(kept, each.name)
    )
    raise errors.TpsRefused(
        f"Eclipse keeps another objective than was asked for: {told}. It was taken out again; "
        "ask for what Eclipse can keep."
    )


def _short(objective: model.Objective) -> str:
    """A name within its plan."""
    return objective.name.rpartition("/")[2]
