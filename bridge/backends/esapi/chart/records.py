"""What ESAPI cannot keep about a plan, kept in this process.

The one idea: Eclipse remembers plans, not where they come from. Provenance, the further dose levels of a prescription,
the normalisation as it was asked for, the names of objectives and the snapshots live here under the plan's UID, which
is the same whatever a person calls the plan. What belongs to work that was never committed is forgotten with it.

Next: `bridge/backends/esapi/chart/memory.py`, where the records of committed plans outlive this process.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from bridge import model


@dataclass(eq=False)
class PlanRecord:
    """About one plan."""

    name: str = ""
    """Its resource name when the bridge made it; a person may have given it another since."""
    provenance: model.Provenance | None = None
    """Present for plans that the bridge made."""
    committed: bool = True
    normalization: model.Normalization = None
    """As asked."""
    normalization_value: float | None = None
    """Eclipse's own number when `normalization` was set; another one now means that somebody changed it."""
    targets: tuple[model.TargetPrescription, ...] = ()
    """All dose levels; Eclipse keeps one."""
    dose_etag: str | None = None
    """The plan's etag when its dose was calculated."""
    dose_kind: model.DoseKind | None = None
    """What the last calculation through the bridge left; None: nothing is known."""
    dose_outdated: bool = False
    """A snapshot was restored, and the dose is of before."""
    optimised: bool = False
    """There is something to start warm from."""
    values: dict[str, float] = field(default_factory=dict)
    """Structure name -> value after the last optimisation."""
    revision: int = 0
    """Raised by what must give a new etag though nothing readable may differ."""
    objectives: Any = None
    """The ledger of names, see `bridge.backends.esapi.objectives.stored`."""
    snapshots: dict[str, Any] = field(default_factory=dict)

    @property
    def made_here(self) -> bool:
        """Whether the bridge made this plan."""
        return self.provenance is not None


@dataclass(eq=False)
class SiteFacts:
    """What was found out about this Eclipse; the same for all its patients."""

    normalization_is_factor: bool | None = None
    """Whether Eclipse's number multiplies the dose (True) or divides it (False); None: not yet seen."""
    point_volume_per_percent: float | None = None
    """What a point objective writes for one percent of volume: 1 (percent) or 0.01 (ratio); None: not yet seen."""


@dataclass(eq=False)
class Records:
    """About one patient."""

    plans: dict[str, PlanRecord] = field(default_factory=dict)
    """By the plan's UID."""
    made_structures: set[str] = field(default_factory=set)
    """Names of structures that the bridge made, committed or not."""
    made_course: bool = False
    """The bridge added its own course and did not commit it."""
    remembered: Callable[[str], PlanRecord | None] = field(default=lambda _uid: None, repr=False)
    """What an earlier process kept about the plan of a UID."""
    _committed_plans: dict[str, PlanRecord] = field(default_factory=dict)
    """Of plans that the bridge made, as they were at the last commit."""
    _committed_structures: set[str] = field(default_factory=set)

    def plan(self, uid: str) -> PlanRecord:
        """The plan's record, made where there is none."""
        if uid not in self.plans:
            remembered = self.remembered(uid)
            if remembered is not None:
                self._committed_plans[uid] = deepcopy(remembered)
            self.plans[uid] = remembered or PlanRecord()
        return self.plans[uid]

    def made(self, uid: str) -> bool:
        """Whether the bridge made this plan."""
        return self.plan(uid).made_here

    def made_plans(self) -> dict[str, PlanRecord]:
        """The records of all plans that the bridge made."""
        return {uid: record for uid, record in self.plans.items() if record.made_here}

    def uncommitted_plans(self) -> list[str]:
        return [uid for uid, record in self.plans.items() if not record.committed]

    def uncommitted_structures(self) -> set[str]:
        return self.made_structures - self._committed_structures

    def forget(self, uid: str) -> None:
        self.plans.pop(uid, None)

    def forget_uncommitted(self) -> None:
        """What was made or changed since the last commit is gone."""
        of_others = {uid: each for uid, each in self.plans.items() if each.committed and not each.made_here}
        self.plans = of_others | deepcopy(self._committed_plans)
        self.made_structures &= self._committed_structures
        self.made_course = False

    def commit(self) -> None:
        for record in self.plans.values():
            record.committed = True
        self._committed_plans = deepcopy(self.made_plans())
        self._committed_structures = set(self.made_structures)
        self.made_course = False
