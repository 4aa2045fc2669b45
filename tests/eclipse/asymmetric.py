"""Plans on the phantom that cannot be mistaken for its mirror image, and where its dose lies.

The one idea: what is expected is worked out here from IEC 61217 and the phantom alone; nothing of the adapter or the
emulation has a say in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge import model
from bridge.backends.emulated_eclipse import intake
from bridge.client import Session
from bridge.model import Vector
from tests.eclipse import emulated
from tests.eclipse.conftest import find
from tests.eclipse.emulated import PRONE, Eclipse
from tests.eclipse.working import LOWER, by_label, plan_named, writing

TARGET = "PTV"
ISOCENTRE_MM: Vector = (0.0, 0.0, 0.0)
"""The target's centre."""
DOSE_GRID_MM = 8.0
OPEN_PLAN = "Aimed"
"""The plan that a person has open in Eclipse, where plans are not made."""
SIDES: Mapping[str, Vector] = {
    "left": (1.0, 0.0, 0.0),
    "right": (-1.0, 0.0, 0.0),
    "posterior": (0.0, 1.0, 0.0),
    "anterior": (0.0, -1.0, 0.0),
    "superior": (0.0, 0.0, 1.0),
    "inferior": (0.0, 0.0, -1.0),
}
"""Towards which a patient's side lies, in DICOM coordinates."""


@dataclass(frozen=True)
class Beam:
    """Angles in IEC 61217."""

    gantry_deg: float
    couch_deg: float = 0.0
    collimator_deg: float = 0.0


Aimed = Callable[..., AbstractContextManager[tuple[Session, str]]]
"""``aimed(patient, beams)``: a session, and the name of a plan with those beams and its final dose."""


def source_side(beam: Beam, patient: str) -> Vector:
    """Unit vector from the isocentre to the source, in DICOM coordinates; angles as IEC 61217 has them.

    The gantry turns about the room's y axis, which points to it; the couch turns the patient about the vertical, z,
    so that the source turns the other way about the patient.
    """
    gantry, couch = np.radians(beam.gantry_deg), np.radians(beam.couch_deg)
    room = np.array([np.sin(gantry), 0.0, np.cos(gantry)])
    x, y, z = (
        np.cos(couch) * room[0] + np.sin(couch) * room[1],
        -np.sin(couch) * room[0] + np.cos(couch) * room[1],
        room[2],
    )
    lying = (x, -z, y)  # head to the gantry, on the back: the room's x is left, up is anterior
    return (-lying[0], -lying[1], lying[2]) if patient == PRONE else lying


def entered(dose: model.Volume) -> str:
    """The patient's side from which a single beam comes: where the dose around the target is highest."""
    return max(SIDES, key=lambda side: float(along(dose, SIDES[side]).mean()))


def along(dose: model.Volume, direction: Vector) -> NDArray[np.float64]:
    """Doses 14 to 24 mm from the isocentre towards a direction."""
    distances_mm = np.linspace(14.0, 24.0, 6)
    return at(dose, np.asarray(ISOCENTRE_MM) + distances_mm[:, None] * np.asarray(direction))


def at(volume: model.Volume, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at points (n, 3), linear between voxels."""
    place = (points_mm - np.asarray(volume.grid.origin_mm)) / np.asarray(volume.grid.spacing_mm)
    found: NDArray[np.float64] = ndimage.map_coordinates(
        volume.values.astype(np.float64), place[:, ::-1].T, order=1, mode="nearest"
    )
    return found


def points_of(volume: model.Volume) -> NDArray[np.float64]:
    """Centres of all voxels, (n, 3) in mm, in the order of the flattened values."""
    axes = [
        origin + step * np.arange(count)
        for origin, step, count in zip(volume.grid.origin_mm, volume.grid.spacing_mm, volume.grid.size, strict=True)
    ]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    return np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)


def centre_mm(volume: model.Volume, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Centre of weights on a volume's grid."""
    return np.asarray(np.average(points_of(volume), axis=0, weights=weights.ravel()))


@contextmanager
def aimed(
    eclipse: Eclipse, own_eclipse: Callable[..., Eclipse], patient: str, beams: Sequence[Beam]
) -> Iterator[tuple[Session, str]]:
    """See `Aimed`: stand-alone the plan is made through the adapter, in Eclipse it is the one that is open, copied."""
    used = _with_open_plan(eclipse, own_eclipse, patient, beams) if eclipse.in_eclipse else eclipse
    with used.client() as client, writing(client, find(client, patient)) as session:
        here = find(client, patient)
        plan = (
            session.copy_plan(plan_named(session, here, OPEN_PLAN).name, "copy")
            if used.in_eclipse
            else session.create_plan(plan_of(session, here, beams))
        )
        dose(session, here, plan.name)
        yield session, plan.name


def records_of(beams: Sequence[Beam]) -> list[intake.Record]:
    """The beams as the emulated database has them."""
    return [
        intake.beam_record(
            number, beam.gantry_deg, ISOCENTRE_MM, couch_deg=beam.couch_deg, collimator_deg=beam.collimator_deg
        )
        for number, beam in enumerate(beams, start=1)
    ]


def plan_of(session: Session, patient: str, beams: Sequence[Beam]) -> model.PlanSpec:
    target = by_label(session, patient)[TARGET].name
    specs = tuple(
        model.BeamSpec(beam.gantry_deg, beam.collimator_deg, beam.couch_deg, isocentre_mm=ISOCENTRE_MM)
        for beam in beams
    )
    prescription = model.Prescription(25, (model.TargetPrescription(target, 50.0),))
    return model.PlanSpec("aimed", prescription, specs, dose_grid_mm=DOSE_GRID_MM)


def dose(session: Session, patient: str, plan: str) -> None:
    """Optimise for 50 Gy to the target and little beside it, and calculate the dose."""
    structures = by_label(session, patient)
    objectives = [
        model.ObjectiveSpec(structures[TARGET].name, model.DoseVolumePoint(LOWER, 50.0, 95.0), 300.0),
        model.ObjectiveSpec(structures["External"].name, model.MeanDose(0.0), 30.0),
    ]
    session.replace_objectives(plan, objectives)
    session.optimize(plan, model.OptimizeSpec())
    session.calculate_dose(plan)


def _with_open_plan(
    eclipse: Eclipse, own_eclipse: Callable[..., Eclipse], patient: str, beams: Sequence[Beam]
) -> Eclipse:
    used = own_eclipse(eclipse.profile, started=False, patient=patient, plan=OPEN_PLAN)
    intake.add_plan(
        used.hospital, patient, OPEN_PLAN, target=TARGET, beams=records_of(beams), dose_grid_mm=DOSE_GRID_MM,
        models=emulated.models(used.profile.version),
    )  # fmt: skip
    used.start()
    return used
