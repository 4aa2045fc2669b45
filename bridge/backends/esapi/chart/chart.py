"""The open patient, with the names of what is in it.

The one idea: rooms get a `Chart` and a name and ask it for the ESAPI object behind; objects are looked up anew in
each call, since ESAPI makes new ones at every access. A chart lives on the ESAPI thread and goes when the patient is
closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from bridge.backends.esapi.chart import doses, names
from bridge.backends.esapi.chart.records import PlanRecord, Records, SiteFacts
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.site import SiteSettings
from bridge.errors import NotFound, PlanNotEditable, TpsRefused

if TYPE_CHECKING:
    from bridge.backends.esapi.reach.hosts import Host

log = structlog.get_logger(__name__)

EXTERNAL = "EXTERNAL"


def set_up(plan: Any, name: str) -> list[Any]:
    """``Objectives`` or ``Parameters`` of a plan; none where it cannot be optimised at all."""
    setup = access.get(plan, "OptimizationSetup")
    return [] if setup is None else access.items(setup, name)


@dataclass(eq=False)
class Chart:
    """One open patient."""

    host: Host
    site: SiteSettings
    name: str
    """``patients/...``"""
    patient: Any
    structure_set: Any
    records: Records
    facts: SiteFacts = field(default_factory=SiteFacts)
    tg263: Callable[[str], str | None] = field(default=lambda _label: None, repr=False)
    """The TG-263 name that a structure's label stands for."""
    _unit: str | None = field(default=None, repr=False)
    _by_name: dict[str, Any] | None = field(default=None, repr=False)
    """Structures, as they were when this call first asked for one."""
    _told: set[str] = field(default_factory=set, repr=False)

    @property
    def unit(self) -> str:
        """The site's unit of dose, ``Gy`` or ``cGy``; as plans tell it, and as configured where none does."""
        if self._unit is None:
            seen, configured = doses.site_unit(plan for _, plan in self.host.plans(self.patient)), self.site.dose_unit
            if seen and configured and seen != configured:
                raise TpsRefused(
                    f"dose_unit in section [site] is {configured!r}, and Eclipse speaks of this patient's doses in "
                    f"{seen!r}; correct it, or leave it empty."
                )
            self._unit = seen or configured or None
        if self._unit is None:
            raise TpsRefused(
                "no plan of this patient has a dose that would tell whether the site works in Gy or in cGy; set "
                "dose_unit in section [site]."
            )
        return self._unit

    def plans(self) -> list[Any]:
        """The plans in scope, on the structure set that was chosen."""
        return [plan for name, plan in self._in_scope() if self._is_on_structure_set(name, plan)]

    def plan(self, name: str) -> Any:
        """The ESAPI plan behind a name."""
        for found, plan in self._in_scope():
            if found == name and self._is_on_structure_set(name, plan):
                return plan
        raise NotFound(f"there is no plan {name!r}; list the patient's plans again.")

    def has_plan(self, name: str) -> bool:
        return any(found == name and self._is_on_structure_set(name, plan) for found, plan in self._in_scope())

    def course_of(self, plan: Any) -> Any:
        return access.get(plan, "Course")

    def plan_name(self, plan: Any) -> str:
        return names.plan_name(self.name, access.get(self.course_of(plan), "Id"), access.get(plan, "Id"))

    def record(self, plan: Any) -> PlanRecord:
        """What is kept about the plan beside Eclipse."""
        return self.records.plan(self.key(plan))

    def key(self, plan: Any) -> str:
        """What the plan's record is kept under: its UID, or its name where Eclipse gives none."""
        return str(access.get(plan, "UID") or "") or self.plan_name(plan)

    def is_handed_over(self, plan: Any) -> bool:
        """Whether the bridge made and committed the plan where a person saves: it is theirs from then on."""
        record = self.record(plan)
        return self.host.in_eclipse and record.made_here and record.committed

    def require_not_handed_over(self, plan: Any) -> None:
        if self.is_handed_over(plan):
            raise PlanNotEditable(
                f"plan {self.plan_name(plan)!r} is committed, and left to the person at Eclipse to save; only "
                "copies of it can be changed. Copy it."
            )

    def everywhere(self) -> Iterator[Any]:
        """All plans of the patient, also those that are not offered."""
        for course in access.items(self.patient, "Courses"):
            yield from access.items(course, "PlanSetups")

    def structures(self) -> list[Any]:
        return access.items(self.structure_set, "Structures")

    def structure(self, name: str) -> Any:
        """The ESAPI structure behind a name."""
        if self._by_name is None:
            self._by_name = {self.structure_name(each): each for each in reversed(self.structures())}
        if name not in self._by_name:
            raise NotFound(f"there is no structure {name!r}; list the patient's structures again.")
        return self._by_name[name]

    def look_anew(self) -> None:
        """Forget which structures there are: a call begins, or some may have been added, removed or renamed."""
        self._by_name = None

    def structure_name(self, structure: Any) -> str:
        return names.structure_name(self.name, access.get(structure, "Id"))

    def structure_name_of_id(self, structure_id: str) -> str:
        return names.structure_name(self.name, structure_id)

    def external(self) -> Any:
        """The structure that is the patient's outline."""
        found = [each for each in self.structures() if access.get(each, "DicomType") == EXTERNAL]
        if len(found) != 1:
            raise TpsRefused(
                f"the structure set has {len(found)} structures of DICOM type EXTERNAL, exactly one is needed; make "
                "the body outline in Eclipse."
            )
        return found[0]

    def _in_scope(self) -> Iterator[tuple[str, Any]]:
        """In Eclipse the open plan and those that the bridge made; stand-alone all."""
        for course, plan in self.host.plans(self.patient):
            name = names.plan_name(self.name, access.get(course, "Id"), access.get(plan, "Id"))
            if not self.host.in_eclipse or self.host.is_open(plan) or self.records.made(self.key(plan)):
                yield name, plan

    def _is_on_structure_set(self, name: str, plan: Any) -> bool:
        if access.get(plan, "StructureSet") == self.structure_set:
            return True
        if name not in self._told:
            self._told.add(name)
            log.info("a plan on another structure set is not offered", plan=name)
        return False
