"""From a patient and a protocol to a plan that can be optimised: structures, helpers, beams, objectives, goals.

The one idea: everything is made through the contract and comes back in one `Prepared`, so the loop that follows sees no
difference between a TPS that can make plans and one whose plan had to be copied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.calls import Calls
from agent.goals import BoundMetric
from agent.knowledge import Knowledge
from agent.knowledge import load as load_knowledge
from agent.observation import Limits, ObjectiveState, Place, Task
from agent.preparation.binding import Binding, BoundStage
from agent.preparation.demands import check_server, declares
from agent.preparation.helpers import Helpers, make_helpers
from agent.preparation.labels import plan_label
from agent.preparation.matching import Matches, PreparationError, match
from agent.proposal import Change
from agent.protocols.schema import TARGETS, Protocol, RandomStart
from bridge import model
from bridge.client import Session

SAME_DOSE_PERCENT = 0.5
"""Two prescriptions are the same when their doses differ by less."""


@dataclass(frozen=True)
class Prepared:
    """A plan ready for its first optimisation, and what is known about it."""

    plan: model.Plan
    origin: str
    """``created``, or the plan it was copied from."""
    beams: tuple[model.Beam, ...]
    structures: tuple[model.Structure, ...]
    """All of the patient's, helpers included."""
    labels: Mapping[str, str]
    """The protocol's name -> the patient's label."""
    resources: Mapping[str, str]
    """Displayed name -> resource name, for every structure with a goal or objective."""
    objectives: tuple[ObjectiveState, ...]
    stages: tuple[BoundStage, ...]
    """The first, and those that a planner may refine in."""
    with_curves: tuple[str, ...]
    """Displayed names of the targets, the External, and every structure with a goal."""
    reported: tuple[BoundMetric, ...]
    normalisations: tuple[model.CoverageNormalization, ...]
    """The coverage point of each target that may limit it; the one that needs most dose is used."""
    limits: Limits
    places: Mapping[str, Place]
    prescriptions_gy: Mapping[str, float]
    overlap_percent: Mapping[str, float]
    volumes_cc: Mapping[str, float]
    told_as: Mapping[str, str]
    """Displayed name -> what may be told of it outside: the protocol's name."""
    task: Task
    fixed_set: tuple[Change, ...]
    knowledge: Knowledge | None
    problem: model.OptimizationProblem
    judged_on_optimised: bool
    notes: tuple[str, ...]

    def spec(self, state: ObjectiveState) -> model.ObjectiveSpec:
        """The contract's form of an objective."""
        structure, function = self.resources[state.structure], _function(state, self.problem)
        if state.type == "hold":
            role, relation = model.ObjectiveRole.CONSTRAINT, model.Relation.EQUAL
            return model.ObjectiveSpec(structure, function, None, role, relation)
        return model.ObjectiveSpec(structure, function, state.priority)


def prepare(
    call: Calls,
    session: Session,
    case: str,
    protocol: Protocol,
    server: model.ServerInfo,
    start_seed: int | None = None,
) -> Prepared:
    """Match structures, make helpers and the plan, bind goals and objectives.

    Parameters
    ----------
    start_seed
        Draw the objectives' numbers from the protocol's ranges for random starts; None: as the protocol has them.

    Raises
    ------
    PreparationError
        The patient lacks what the protocol requires, or the server can neither make a plan nor has one to copy.
    """
    check_server(protocol, server)
    matches = match(protocol, call(session.structures, case))
    helpers = make_helpers(
        call,
        session,
        protocol,
        matches,
        can_make_structures=model.Profile.AUTHOR in server.profiles and declares(server, "structure.derived.scope"),
        longest_label=server.limits.max_structure_label_length,
    )
    plan, origin, plan_notes = _plan(call, session, case, protocol, server, matches, helpers)
    binding = Binding(protocol, matches, helpers, server)
    objectives = binding.objectives()
    start_notes: tuple[str, ...] = ()
    if start_seed is not None:
        scale = server.priority_scale
        objectives = random_start(protocol.id, binding.random_ranges(), objectives, start_seed, scale)
        start_notes = (f"Started from random parameters (seed {start_seed}), drawn from the protocol's ranges.",)
    return Prepared(
        plan=plan,
        origin=origin,
        beams=tuple(call(session.beams, plan.name)),
        structures=tuple(call(session.structures, case)),
        labels={name: ", ".join(s.label for s in found) for name, found in matches.found.items()},
        resources=binding.resources(),
        objectives=objectives,
        stages=binding.stages(),
        with_curves=binding.with_curves(),
        reported=binding.reported(),
        normalisations=binding.normalisations(),
        limits=binding.limits(objectives),
        places=binding.places(),
        prescriptions_gy=binding.prescriptions_gy(),
        overlap_percent=helpers.overlap_percent,
        volumes_cc={shown: s.volume_cc for name in binding.names() for shown, s in binding.structures(name)},
        told_as=binding.labels(),
        task=binding.task(),
        fixed_set=binding.fixed_set(),
        knowledge=None if protocol.knowledge is None else load_knowledge(protocol.knowledge),
        problem=_PROBLEM[protocol.plan.problem],
        judged_on_optimised=protocol.plan.judged_on == "optimised",
        notes=(*matches.notes, *helpers.notes, *plan_notes, *start_notes, *protocol.notes),
    )


_PROBLEM = {
    "quadratic-penalty": model.OptimizationProblem.QUADRATIC_PENALTY,
    "hot-fraction": model.OptimizationProblem.HOT_FRACTION,
}


def random_start(
    protocol: str,
    ranges: Mapping[str, RandomStart],
    objectives: tuple[ObjectiveState, ...],
    seed: int,
    scale: model.PriorityScale,
) -> tuple[ObjectiveState, ...]:
    """The objectives with numbers drawn evenly from the protocol's ranges (objective -> ranges) for random starts.

    Priorities are whole where the planning system's are.
    """
    if not ranges:
        raise PreparationError(
            f"protocol {protocol!r} has no ranges for a random start; give its objectives random_start, or start "
            "from the protocol's own numbers."
        )
    draw = np.random.default_rng(seed)
    return tuple(
        _drawn(state, ranges[state.name], draw, is_whole=scale.integer) if state.name in ranges else state
        for state in objectives
    )


def _drawn(state: ObjectiveState, span: RandomStart, draw: np.random.Generator, *, is_whole: bool) -> ObjectiveState:
    dose_gy, volume_percent = float(draw.uniform(*span.dose_gy)), float(draw.uniform(*span.volume_percent))
    priority = float(draw.uniform(*span.priority))
    if is_whole:
        low, high = math.ceil(span.priority[0]), math.floor(span.priority[1])
        if low > high:
            raise PreparationError(
                f"{state.name!r} draws its priority from {span.priority[0]:g} to {span.priority[1]:g}, where there is "
                "no whole number, and this planning system takes no others. Start from the protocol's own numbers."
            )
        priority = float(min(max(round(priority), low), high))
    return replace(state, dose_gy=dose_gy, volume_percent=volume_percent, priority=priority)


def _plan(
    call: Calls,
    session: Session,
    case: str,
    protocol: Protocol,
    server: model.ServerInfo,
    matches: Matches,
    helpers: Helpers,
) -> tuple[model.Plan, str, tuple[str, ...]]:
    """The working plan, where it comes from, and what to know about it."""
    notes: list[str] = []
    if not declares(server, "plan.create"):
        plan, source = _copied(call, session, case, protocol, server, matches)
        notes.append(f"The server makes no plans: {source!r} was copied, with its own beams and grids.")
        return plan, source, (*notes, *_label_note(plan, protocol))
    rule = protocol.plan
    machine = _machine(call(session.machines), rule.leaf_width_mm, notes)
    isocentre = helpers.targets if rule.isocentre == TARGETS else matches.found[rule.isocentre][0]
    beams = tuple(
        model.BeamSpec(
            gantry_deg=gantry,
            collimator_deg=group.collimator_deg,
            couch_deg=group.couch_deg,
            isocentre_structure=isocentre.name,
        )
        for group in rule.beams
        for gantry in group.angles_deg
    )
    spec = model.PlanSpec(
        label=_plan_label(call, session, case, protocol, server),
        prescription=_prescription(protocol, matches),
        beams=beams,
        machine=machine.name if machine else None,
        energy=rule.energy,
        dose_grid_mm=_dose_grid_mm(protocol, matches, server, notes),
        optimization_grid_mm=_if_taken(
            rule.optimization_grid_mm, "an optimisation grid of", "plan.create.optimization-grid", server, notes
        ),
        beamlet_mm=_if_taken(rule.beamlet_mm, "beamlets of", "plan.create.beamlet", server, notes),
    )
    plan = call(session.create_plan, spec)
    return plan, "created", (*notes, *_label_note(plan, protocol))


def _if_taken(
    wanted_mm: float | None, what: str, capability: str, server: model.ServerInfo, notes: list[str]
) -> float | None:
    """The size that the protocol asks for; none, with a note, where the server chooses it itself."""
    if wanted_mm is None or declares(server, capability):
        return wanted_mm
    notes.append(f"The protocol asks for {what} {wanted_mm:g} mm; {server.tps_name} takes none, and uses its own.")
    return None


def _plan_label(call: Calls, session: Session, case: str, protocol: Protocol, server: model.ServerInfo) -> str:
    """The label of the working plan; the others' are asked for only where it cannot carry the protocol's name."""
    longest = server.limits.max_plan_label_length
    label = plan_label(protocol.id, (), longest)
    if label.endswith(protocol.id):
        return label
    return plan_label(protocol.id, [plan.label for plan in call(session.plans, case)], longest)


def _label_note(plan: model.Plan, protocol: Protocol) -> tuple[str, ...]:
    if plan.label.endswith(protocol.id):
        return ()
    return (f"The plan is called {plan.label!r} in the planning system, whose labels are shorter than the protocol's.",)


def _copied(
    call: Calls, session: Session, case: str, protocol: Protocol, server: model.ServerInfo, matches: Matches
) -> tuple[model.Plan, str]:
    """A copy of the first plan that has beams and the protocol's prescription; of our own earlier ones last."""
    refused = []
    for plan in sorted(call(session.plans, case), key=lambda plan: plan.working_copy):
        if not call(session.beams, plan.name):
            refused.append(f"{plan.label!r} has no beams")
        elif not _same_prescription(plan.prescription, _prescription(protocol, matches)):
            refused.append(f"{plan.label!r} has another prescription")
        else:
            return call(session.copy_plan, plan.name, _plan_label(call, session, case, protocol, server)), plan.name
    raise PreparationError(
        f"the server makes no plans, and {case!r} has none to copy: {'; '.join(refused) or 'it has no plan at all'}. "
        f"Make a plan with beams and the prescription of protocol {protocol.id!r} in the TPS first."
    )


def _same_prescription(have: model.Prescription | None, want: model.Prescription) -> bool:
    if have is None or have.fraction_count != want.fraction_count:
        return False
    highest_have = max((target.total_gy for target in have.targets), default=0.0)
    highest_want = max(target.total_gy for target in want.targets)
    return abs(highest_have - highest_want) <= highest_want * SAME_DOSE_PERCENT / 100.0


def _prescription(protocol: Protocol, matches: Matches) -> model.Prescription:
    targets = tuple(
        model.TargetPrescription(structure.name, dose_gy)
        for name, dose_gy in protocol.prescription.targets_gy.items()
        for structure in matches.found.get(name, ())
    )
    return model.Prescription(protocol.prescription.fractions, targets)


def _machine(machines: Sequence[model.Machine], leaf_width_mm: float | None, notes: list[str]) -> model.Machine | None:
    """The machine with the leaves that the protocol asks for; the nearest one, with a note, where there is none."""
    if leaf_width_mm is None or not machines:
        return None
    machine = min(machines, key=lambda m: (abs(m.leaf_width_mm - leaf_width_mm), m.name))
    if machine.leaf_width_mm != leaf_width_mm:
        notes.append(
            f"The protocol asks for {leaf_width_mm:g} mm leaves; {machine.label!r} with {machine.leaf_width_mm:g} mm "
            "was the nearest."
        )
    return machine


def _dose_grid_mm(protocol: Protocol, matches: Matches, server: model.ServerInfo, notes: list[str]) -> float | None:
    wanted, finer = protocol.plan.dose_grid_mm, protocol.plan.finer_dose_grid
    smallest_cc = min(s.volume_cc for name in protocol.targets for s in matches.found.get(name, ()))
    if finer and smallest_cc < finer.target_below_cc:
        wanted = finer.dose_grid_mm
    wanted = _if_taken(wanted, "a dose grid of", "dose.grid", server, notes)
    if wanted is not None and wanted < server.limits.min_grid_mm:
        notes.append(f"The protocol asks for a {wanted:g} mm dose grid; the server's finest is used.")
        return server.limits.min_grid_mm
    return wanted


def _function(state: ObjectiveState, problem: model.OptimizationProblem) -> model.ObjectiveFunction:
    if state.type == "mean":
        return model.MeanDose(state.dose_gy)
    if state.type == "max":
        return model.MaxDose(state.dose_gy)
    if state.type == "min":
        return model.MinDose(state.dose_gy)
    if state.type == "hot" and problem is model.OptimizationProblem.QUADRATIC_PENALTY:
        return model.DoseVolumePoint(model.Bound.UPPER, state.dose_gy, 0.0)
    if state.type == "hot":
        return model.HotFraction(state.dose_gy, state.volume_percent or 0.0)
    bound = model.Bound.LOWER if state.type in ("lower", "hold") else model.Bound.UPPER
    return model.DoseVolumePoint(bound, state.dose_gy, state.volume_percent or 0.0)
