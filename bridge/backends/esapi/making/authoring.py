"""New plans: static fields around the targets, to be optimised, in the bridge's own course.

The one idea: everything that can be refused is refused before Eclipse makes anything; what fails afterwards takes the
half-made plan away again. Machine, energy and dose rate are the site's, or those of the patient's other plans where all
of these agree; they are never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge import errors, model
from bridge.backends.esapi.chart import angles, doses, names
from bridge.backends.esapi.chart.chart import Chart
from bridge.backends.esapi.making import courses, jaws, models
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reach.site import STATIC, SiteSettings, only
from bridge.backends.esapi.reading import contours, plans, structures
from bridge.backends.esapi.reading.grids import lattice
from bridge.model import Vector

WHOLE_DOSE = 1.0
"""ESAPI's treatment percentage, which is a ratio."""
_DOSE_TOLERANCE_GY = 1e-3
_MODELS = (models.VOLUME_DOSE, models.IMRT_OPTIMIZATION, models.LEAF_MOTIONS)
_FLUENCE_MODES = ("FFF", "SRS")
"""How Eclipse's names of energies end, e.g. 6X-FFF, for beams that are not of the plain mode."""


@dataclass(frozen=True)
class _Linac:
    """What Eclipse wants to know of the machine for every beam."""

    machine: str
    energy: str
    dose_rate: int
    technique: str

    def parameters(self) -> Any:
        energy, _, mode = self.energy.rpartition("-")
        if mode in _FLUENCE_MODES:
            return access.machine_parameters(self.machine, energy, self.dose_rate, self.technique, mode)
        return access.machine_parameters(self.machine, self.energy, self.dose_rate, self.technique)


@dataclass(frozen=True)
class _Beam:
    """A beam that is ready to be made; angles are IEC 61217."""

    id: str
    gantry_deg: float
    collimator_deg: float
    couch_deg: float
    isocentre_mm: Vector


def machines(site: SiteSettings, chart: Chart | None) -> Sequence[model.Machine]:
    """The configured machine, or those of the open patient's beams: ESAPI has no list of machines."""
    _head(site)
    if site.machine:
        return [_shown(site, site.machine, [site.energy] if site.energy else [])]
    if chart is None:
        return []
    return [_shown(site, each, _energies(chart, each)) for each in _seen(chart, None, _machine_of)]


def _shown(site: SiteSettings, machine: str, energies: Sequence[str]) -> model.Machine:
    name = names.machine_name(machine)
    return model.Machine(name, machine, tuple(energies), *_head(site))


def _head(site: SiteSettings) -> tuple[float, tuple[float, float]]:
    """Leaf width and largest field in mm, which only the clinic can say."""
    if site.leaf_width_mm is None or site.max_field_mm is None:
        raise _missing(
            "plans are only copied here, since leaf_width_mm or max_field_mm in section [site] is empty. Give both.",
            "plan.create",
        )
    return site.leaf_width_mm, site.max_field_mm


def create_plan(chart: Chart, spec: model.PlanSpec, provenance: model.Provenance) -> model.Plan:
    """Make a plan with beams and without objectives; all of it or nothing."""
    _require_offered(chart, spec)
    with translated(f"make plan {spec.label!r}"):
        linac, beams, points_mm = _linac(chart, spec), _beams(chart, spec), _target_points(chart, spec)
        with courses.own_course(chart) as course:
            plan = course.AddExternalPlanSetup(chart.structure_set)
            with courses.all_or_nothing(chart, course, plan):
                name = courses.name_plan(chart, course, plan, spec.label, provenance)
                _prescribe(chart, plan, spec.prescription)
                for calculation in _MODELS:
                    models.ensure(plan, calculation, chart.site)
                if spec.dose_grid_mm is not None:
                    models.set_grid(plan, spec.dose_grid_mm, chart.site)
                for beam in beams:
                    _add(chart, plan, linac, beam, points_mm)
                chart.record(plan).targets = spec.prescription.targets
                return plans.read(chart, name)


# ------------------------------------------------------------------------------------------ what is refused, looked up


def _require_offered(chart: Chart, spec: model.PlanSpec) -> None:
    if chart.host.in_eclipse:
        raise _missing("plans are not made inside Eclipse, only copied. Copy the open plan.", "plan.create")
    if chart.site.technique != STATIC:
        raise _missing("plans with arcs are only copied here. Copy one that has its arcs.", "plan.create")
    if spec.beamlet_mm is not None:
        raise _missing("Eclipse chooses the size of beamlets itself. Leave beamlet_mm out.", "plan.create.beamlet")
    if spec.optimization_grid_mm is not None:
        raise _missing(
            "Eclipse chooses the grid of the optimisation itself. Leave optimization_grid_mm out.",
            "plan.create.optimization-grid",
        )
    _head(chart.site)
    courses.require_fitting(spec.label, chart.site.max_plan_id_length, "a plan", "spec.label")
    if not spec.beams or not spec.prescription.targets:
        raise errors.InvalidField("a plan needs at least one beam and one target with a dose.")


def _missing(sentence: str, capability: str) -> errors.CapabilityMissing:
    return errors.CapabilityMissing(sentence, metadata={"capability": capability})


def _linac(chart: Chart, spec: model.PlanSpec) -> _Linac:
    machine = _machine(chart, spec.machine)
    energy = _energy(chart, machine, spec.energy)
    dose_rate = chart.site.dose_rate
    if dose_rate is None:
        seen = _seen(chart, machine, lambda beam: str(access.get(beam, "DoseRate")))
        dose_rate = int(only("dose rates", "", seen, "dose_rate"))
    return _Linac(machine, energy, dose_rate, STATIC)


def _machine(chart: Chart, asked: str | None) -> str:
    offered = [chart.site.machine] if chart.site.machine else _seen(chart, None, _machine_of)
    if asked is None:
        return only("machines", "", offered, "machine")
    for machine in offered:
        if names.machine_name(machine) == asked:
            return machine
    raise errors.NotFound(f"there is no machine {asked!r} here; list the machines again.")


def _energy(chart: Chart, machine: str, asked: str | None) -> str:
    offered = [chart.site.energy] if chart.site.energy else _energies(chart, machine)
    if asked is None:
        return only(f"energies of {machine!r}", "", offered, "energy")
    if asked not in offered:
        listed = ", ".join(map(repr, offered)) or "none that is known here"
        raise errors.InvalidField(
            f"machine {machine!r} has no energy {asked!r}; it has: {listed}.",
            violations=(errors.FieldViolation("spec.energy", "not an energy of the machine"),),
        )
    return asked


def _energies(chart: Chart, machine: str) -> list[str]:
    return _seen(chart, machine, lambda beam: _text(beam, "EnergyModeDisplayName"))


def _seen(chart: Chart, machine: str | None, read: Callable[[Any], str]) -> list[str]:
    """What the beams of the patient's plans have, on one machine or on any."""
    there = [beam for beam in _all_beams(chart) if _machine_of(beam)]
    return sorted({read(beam) for beam in there if machine is None or _machine_of(beam) == machine})


def _all_beams(chart: Chart) -> Iterator[Any]:
    for _, plan in chart.host.plans(chart.patient):
        yield from plans.treatment_beams(plan)


def _machine_of(beam: Any) -> str:
    """Empty for a beam of an imported plan that names none."""
    return plans.machine_id(beam)


def _text(thing: Any, name: str) -> str:
    return str(access.get(thing, name))


def _beams(chart: Chart, spec: model.PlanSpec) -> list[_Beam]:
    made = []
    for number, beam in enumerate(spec.beams, start=1):
        beam_id = beam.label or f"beam-{number}"
        courses.require_fitting(
            beam_id, chart.site.max_structure_id_length, "a beam", f"spec.beams[{number - 1}].label"
        )
        isocentre_mm = _isocentre(chart, beam, beam_id)
        made.append(_Beam(beam_id, beam.gantry_deg, beam.collimator_deg, beam.couch_deg, isocentre_mm))
    return made


def _isocentre(chart: Chart, beam: model.BeamSpec, beam_id: str) -> Vector:
    if beam.isocentre_mm is not None:
        return beam.isocentre_mm
    if beam.isocentre_structure is None:
        raise errors.InvalidField(f"beam {beam_id!r}: give isocentre_mm or isocentre_structure.")
    structure = chart.structure(beam.isocentre_structure)
    _require_filled(structure, beam.isocentre_structure, "an isocentre")
    return access.xyz(access.get(structure, "CenterPoint"))


def _target_points(chart: Chart, spec: model.PlanSpec) -> NDArray[np.float64]:
    """Corners of the contours of all targets, (n, 3) in mm."""
    voxels = lattice(access.get(chart.structure_set, "Image"), "the planning image")
    rings: list[NDArray[np.float64]] = []
    for target in spec.prescription.targets:
        structure = chart.structure(target.structure)
        _require_filled(structure, target.structure, "a target")
        rings += [ring for _, found in contours.planes(structure, voxels) for ring in found]
    if not rings:
        raise errors.InvalidField("the targets have no contours on the planning image; choose others.")
    return np.concatenate(rings)


def _require_filled(structure: Any, name: str, use: str) -> None:
    if structures.is_empty(structure):
        raise errors.InvalidField(f"structure {name!r} is empty, so it cannot be {use}; choose another.")


# ------------------------------------------------------------------------------------------ what is made


def _prescribe(chart: Chart, plan: Any, prescription: model.Prescription) -> None:
    """Prescribe the highest dose level, the one that Eclipse keeps, to its target."""
    highest = max(prescription.targets, key=lambda target: target.total_gy)
    count = prescription.fraction_count
    plan.SetPrescription(count, doses.dose_value(highest.total_gy / count, chart.unit), WHOLE_DOSE)
    stored_gy = doses.gy(access.get(plan, "TotalDose"))
    if stored_gy is None or abs(stored_gy - highest.total_gy) > _DOSE_TOLERANCE_GY:
        raise errors.TpsRefused(
            f"{highest.total_gy:g} Gy in {count} fractions were prescribed, and Eclipse stored {stored_gy} Gy; check "
            "dose_unit in section [site]."
        )
    if access.has(plan, "SetTargetStructureIfNoDose"):
        said = access.string_builder()
        if not plan.SetTargetStructureIfNoDose(chart.structure(highest.structure), said):
            raise errors.TpsRefused(
                f"Eclipse does not take {highest.structure!r} as the plan's target: {said.ToString()}"
            )


def _add(chart: Chart, plan: Any, linac: _Linac, beam: _Beam, points_mm: NDArray[np.float64]) -> None:
    orientation = access.enum_name(access.get(plan, "TreatmentOrientation"))
    view = jaws.View(beam.gantry_deg, beam.collimator_deg, beam.couch_deg, beam.isocentre_mm, orientation)
    _, max_field_mm = _head(chart.site)
    opening = jaws.opening(view, points_mm, max_field_mm, f"beam {beam.id!r}")
    made = plan.AddStaticBeam(
        linac.parameters(),
        access.rect(*opening),
        angles.collimator(chart.site, beam.collimator_deg),
        angles.gantry(chart.site, beam.gantry_deg),
        angles.couch(chart.site, beam.couch_deg),
        access.vector(beam.isocentre_mm),
    )
    access.put(made, "Id", beam.id)
    stored = _text(made, "Id")
    if stored != beam.id:
        raise errors.TpsRefused(f"Eclipse stored the beam id {beam.id!r} as {stored!r}; give the beam another label.")
