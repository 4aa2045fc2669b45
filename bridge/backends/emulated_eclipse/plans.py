"""A plan's record, as the emulation keeps it, in the simulator's words.

The one idea: a record holds what a person chose, and each function here takes one thing out of it. What a treatment
planning system would decline to calculate raises `Declined` with the reason a calculation log would give; that is an
answer, while a record that cannot be read is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from bridge.backends.emulated_eclipse.options import Options
from bridge.backends.emulated_eclipse.orientation import Orientation
from sim_tps.errors import Refused
from sim_tps.machine import machines
from sim_tps.plan import Beam, Objective, ObjectiveType

Record = Mapping[str, Any]
Say = Callable[[str], None]

TARGET_TYPES = ("PTV", "CTV", "GTV")
DOSE_CALCULATION = "PhotonVolumeDose"
AUTOMATIC_FALL_OFF = {"distance_mm": 5.0, "start_percent": 95.0, "end_percent": 40.0, "fall_off": 0.1}
"""The numbers of an automatic fall-off: those of the simulator behind the contract."""


class Declined(Exception):
    """A calculation that does not succeed, and why."""


@dataclass(frozen=True)
class Target:
    """A structure that the beamlets cover, as it was then."""

    structure: str
    segment: str


@dataclass(frozen=True)
class Geometry:
    """What fluence is bound to: beams over targets, and the grids they were prepared for."""

    machine: str
    beams: tuple[Beam, ...]
    targets: tuple[Target, ...]
    beamlet_mm: float
    dose_grid_mm: float | None
    """None: the image's voxels."""
    optimization_grid_mm: float | None
    """None: the dose grid."""


def geometry(
    plan: Record, structures: Sequence[Record], options: Options, lies: Orientation, targets: Sequence[Target] = ()
) -> Geometry:
    """The plan's beams over its targets, or over the ``targets`` of earlier fluence."""
    return Geometry(
        machine=machine(plan, options),
        beams=sim_beams(plan, lies),
        targets=tuple(targets) or _targets(plan, structures),
        beamlet_mm=options.beamlet_mm,
        dose_grid_mm=dose_grid_mm(plan, options),
        optimization_grid_mm=options.optimization_grid_mm,
    )


def treatment_beams(plan: Record) -> list[Record]:
    """The beams that treat; there must be some, and none may be an arc."""
    beams = [beam for beam in plan["beams"] if not beam["setup"]]
    if not beams:
        raise Declined("The plan has no treatment beams.")
    arcs = [beam["id"] for beam in beams if beam["technique"] != "STATIC"]
    if arcs:
        raise Declined(f"Beam {arcs[0]} is not static; arcs are not emulated.")
    return beams


def sim_beams(plan: Record, lies: Orientation) -> tuple[Beam, ...]:
    """The treatment beams as the simulator, whose patients lie supine, has to shoot them."""
    made = []
    for number, beam in enumerate(treatment_beams(plan), start=1):
        gantry_deg, couch_deg = lies.supine_angles(beam["gantry_deg"], beam["couch_deg"])
        x, y, z = beam["isocentre"]
        made.append(Beam(f"beam-{number}", (x, y, z), gantry_deg, beam["collimator_deg"], couch_deg))
    return tuple(made)


def machine(plan: Record, options: Options) -> str:
    """The simulator's machine for the treatment unit that all beams share."""
    beams = treatment_beams(plan)
    units = sorted({beam["machine"] for beam in beams})
    if len(units) > 1:
        raise Declined(f"The beams are on different treatment units: {', '.join(units)}.")
    if units[0] not in options.machine:
        raise Declined(
            f"Treatment unit {units[0]} is not commissioned; there are {', '.join(sorted(options.machine))}."
        )
    found = options.machine[units[0]]
    if found not in machines():
        raise Refused(
            f"treatment unit {units[0]!r}: no machine {found!r} in the simulator; it has {sorted(machines())}."
        )
    offered = machines()[found].energies
    other = [beam for beam in beams if beam["energy"] not in offered]
    if other:
        raise Declined(
            f"Beam {other[0]['id']} has energy {other[0]['energy']}, but {units[0]} offers {', '.join(offered)}."
        )
    return found


def fraction_count(plan: Record) -> int:
    if not plan["fractions"] or not plan["dose_per_fraction_gy"]:
        raise Declined("The plan has no prescription.")
    return int(plan["fractions"])


def prescribed_gy(plan: Record) -> float:
    """Total dose."""
    return fraction_count(plan) * float(plan["dose_per_fraction_gy"])


def dose_grid_mm(plan: Record, options: Options) -> float | None:
    """Voxel size of the dose grid that the dose model's options ask for; None where they do not."""
    model = plan["models"].get(DOSE_CALCULATION)
    if not model:
        raise Declined("The plan has no dose calculation model.")
    asked = plan["options"].get(model, {}).get(options.grid_option)
    if asked is None:
        return None
    try:
        return float(10 * Decimal(str(asked)))
    except InvalidOperation:
        raise Declined(f"Calculation option {options.grid_option} is {asked!r}, expected a length in cm.") from None


def objectives(plan: Record, structures: Sequence[Record], say: Say) -> tuple[Objective, ...]:
    """The plan's objectives in its order; what the simulator has no counterpart for is left out and said.

    A normal tissue objective acts in the body, which must be among the ``structures``.
    """
    external = next(s["id"] for s in structures if s["dicom_type"] == "EXTERNAL")
    made: list[Objective] = []
    for record in plan["objectives"]:
        objective = _objective(record, f"objective-{len(made) + 1}", external, plan)
        if objective is None:
            say(f"objective on {record['structure']} ignored: {record['kind']} {record['operator']} is not emulated")
        else:
            made.append(objective)
    if not made:
        raise Declined("The plan has no optimization objectives.")
    return tuple(made)


def _objective(record: Record, new_id: str, external: str, plan: Record) -> Objective | None:
    structure, priority = record["structure"], float(record["priority"])
    if record["kind"] == "nto":
        return _fall_off(record["nto"], plan, new_id, external, priority)
    kind = _kind(record)
    if kind is None:
        return None
    volume = float(record["volume_percent"]) if kind in (ObjectiveType.UPPER, ObjectiveType.LOWER) else None
    a = float(record["a"]) if kind in (ObjectiveType.EUD_UPPER, ObjectiveType.EUD_LOWER) else None
    return Objective(new_id, kind, structure, priority, float(record["dose_gy"]), volume_percent=volume, a=a)


def _kind(record: Record) -> ObjectiveType | None:
    """The simulator's type of an objective on a structure, if it has one."""
    match record["kind"], record["operator"]:
        case "point", "Upper":
            return ObjectiveType.MAX if record["volume_percent"] == 0.0 else ObjectiveType.UPPER
        case "point", "Lower":
            return ObjectiveType.MIN if record["volume_percent"] == 100.0 else ObjectiveType.LOWER
        case "mean", _:
            return ObjectiveType.MEAN
        case "eud", "Upper":
            return ObjectiveType.EUD_UPPER
        case "eud", "Lower":
            return ObjectiveType.EUD_LOWER
        case _:
            return None


def _fall_off(nto: Record, plan: Record, new_id: str, external: str, priority: float) -> Objective:
    numbers = AUTOMATIC_FALL_OFF if nto["automatic"] else nto
    total_gy = prescribed_gy(plan)
    return Objective(
        new_id,
        ObjectiveType.FALL_OFF,
        external,
        priority,
        dose_gy=numbers["start_percent"] / 100.0 * total_gy,
        end_dose_gy=numbers["end_percent"] / 100.0 * total_gy,
        distance_mm=float(numbers["distance_mm"]),
        fall_off_per_mm=float(numbers["fall_off"]),
    )


def _targets(plan: Record, structures: Sequence[Record]) -> tuple[Target, ...]:
    """The plan's target, and every target structure that an objective holds up."""
    held_up = {o["structure"] for o in plan["objectives"] if o["kind"] != "nto" and o["operator"] == "Lower"}
    wanted = [s for s in structures if s["id"] == plan["target"]]
    wanted += [s for s in structures if s["dicom_type"] in TARGET_TYPES and s["id"] in held_up and s not in wanted]
    if not wanted:
        raise Declined("The plan has no target: neither a target volume nor a lower objective on a PTV, CTV or GTV.")
    empty = [s["id"] for s in wanted if s["segment"] is None]
    if empty:
        raise Declined(f"Target {empty[0]} is empty.")
    return tuple(Target(s["id"], s["segment"]) for s in wanted)
