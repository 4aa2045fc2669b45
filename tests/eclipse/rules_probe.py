"""Run in a process of its own: breaks ESAPI's rules one by one, without the adapter, and tells which were enforced.

The one idea: an emulation that is too kind hides defects of the adapter. The rules are those that a script meets in
Eclipse; each is a function that breaks one, in the order in which they stand here, on one patient.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bridge.backends.esapi.reach import access
from tests.eclipse.emulated import LYING, ODD, PLAN

RULES: dict[str, Callable[[World], None]] = {}
"""By name; filled below."""


class World:
    """The open patient and what the rules need of it, read anew after each opening."""

    def __init__(self, settings: Path) -> None:
        self.settings = settings
        self.usual = settings.read_text("utf-8")
        self.application = access.api().Application.CreateApplication()
        self.dead: dict[str, Any] = {}
        self.open(LYING)

    def open(self, patient: str, **settings: Any) -> None:
        self.settings.write_text(json.dumps({**json.loads(self.usual), **settings}), "utf-8")
        self.patient = self.application.OpenPatientById(patient)
        self.course = next(iter(self.patient.Courses))
        self.plans = {plan.Id: plan for plan in self.course.PlanSetups}
        self.plan = self.plans[PLAN]
        self.structures = {structure.Id: structure for structure in self.plan.StructureSet.Structures}
        self.target = self.structures["PTV"]
        self.beam = next(iter(self.plan.Beams))

    def reopen(self, patient: str = LYING, **settings: Any) -> None:
        self.application.ClosePatient()
        self.open(patient, **settings)

    def gy(self, amount: float) -> Any:
        return access.dose(amount, "Gy")

    def objective(self, plan: Any) -> Any:
        return plan.OptimizationSetup.AddMeanDoseObjective(self.target, self.gy(10.0), 10.0)

    def aim(self, plan: Any) -> Any:
        lower = access.enum("OptimizationObjectiveOperator", "Lower")
        target = next(each for each in plan.StructureSet.Structures if each.Id == "PTV")
        return plan.OptimizationSetup.AddPointObjective(target, lower, self.gy(50.0), 95.0, 100.0)

    def calculate(self) -> None:
        assert self.plan.Optimize(20).Success
        assert self.plan.CalculateLeafMotions().Success
        assert self.plan.CalculateDose().Success

    def everything(self) -> Iterator[tuple[str, Any]]:
        """One object of each kind."""
        plan, beam = self.plan, self.beam
        parameters = beam.GetEditableParameters()
        points = parameters.ControlPoints
        yield from {
            "Application": self.application, "Patient": self.patient, "Course": self.course, "PlanSetup": plan,
            "StructureSet": plan.StructureSet, "Structure": self.target, "SegmentVolume": self.target.SegmentVolume,
            "Image": plan.StructureSet.Image, "Beam": beam, "ControlPoint": next(iter(beam.ControlPoints)),
            "BeamParameters": parameters, "ControlPointParameters": next(iter(points)),
            "OptimizationSetup": plan.OptimizationSetup, "User": self.application.CurrentUser,
            "PatientSummary": next(iter(self.application.PatientSummaries)),
        }.items()  # fmt: skip


def rule(check: Callable[[World], None]) -> Callable[[World], None]:
    RULES[check.__name__] = check
    return check


def refused(attempt: Callable[[], Any], *words: str) -> None:
    try:
        attempt()
    except access.net_errors() as error:
        told = access.message(error)
        assert all(word in told for word in words), told
        return
    raise AssertionError("it was allowed")


def put(thing: Any, member: str, value: Any) -> Callable[[], None]:
    return lambda: access.put(thing, member, value)


@rule
def one_application_in_a_process(world: World) -> None:
    refused(access.api().Application.CreateApplication, "Only one Application object is supported at a time")


@rule
def one_open_patient(world: World) -> None:
    refused(lambda: world.application.OpenPatientById(ODD))
    assert access.get(world.patient, "Id") == LYING


@rule
def nothing_is_written_before_begin_modifications(world: World) -> None:
    plan = world.plan
    for attempt in (
        world.patient.AddCourse, put(plan, "Id", "other"), put(plan, "PlanNormalizationValue", 90.0),
        lambda: plan.SetPrescription(20, world.gy(2.0), 1.0), lambda: world.objective(plan), plan.CalculateDose,
        lambda: plan.Optimize(5), lambda: plan.StructureSet.AddStructure("CONTROL", "ring"),
        lambda: world.course.CopyPlanSetup(plan), lambda: world.course.RemovePlanSetup(plan),
        lambda: world.beam.ApplyParameters(world.beam.GetEditableParameters()),
    ):  # fmt: skip
        refused(attempt, "BeginModifications")


@rule
def objects_belong_to_one_thread(world: World) -> None:
    world.patient.BeginModifications()
    world.aim(world.plan)
    world.calculate()
    things = [*world.everything(), ("OptimizerResult", world.plan.Optimize(5))]
    assert len(list(answering(things, "get_"))) > 100  # on the right thread
    allowed: list[str] = []
    other = threading.Thread(target=lambda: allowed.extend(answering(things)))
    other.start()
    other.join()
    assert not allowed, allowed


@rule
def objectives_cannot_be_changed(world: World) -> None:
    (objective,) = world.plan.OptimizationSetup.Objectives
    writable = [each.Name for each in objective.GetType().GetProperties() if each.GetSetMethod() is not None]
    assert not writable, writable


@rule
def wrappers_are_equal_and_not_identical(world: World) -> None:
    first, second = (next(iter(world.course.PlanSetups)) for _ in range(2))
    assert first == second
    assert first is not second


@rule
def a_dose_goes_with_what_it_was_calculated_for(world: World) -> None:
    def weigh() -> None:
        parameters = world.beam.GetEditableParameters()
        parameters.WeightFactor = 0.5
        world.beam.ApplyParameters(parameters)

    for change in (weigh, lambda: world.plan.SetPrescription(20, world.gy(2.0), 1.0)):
        world.calculate()
        assert world.plan.IsDoseValid
        change()
        assert not world.plan.IsDoseValid


@rule
def a_dose_stays_through_objectives_and_normalisation(world: World) -> None:
    world.calculate()
    world.objective(world.plan)
    world.plan.PlanNormalizationValue = 95.0
    assert world.plan.IsDoseValid


@rule
def a_buffer_has_the_right_size(world: World) -> None:
    small = access.plane_buffer(2, 2)
    refused(lambda: world.plan.Dose.GetVoxels(0, small))
    refused(lambda: world.plan.StructureSet.Image.GetVoxels(0, small))


@rule
def an_option_that_is_not_known_is_false(world: World) -> None:
    (model,) = world.plan.GetModelsForCalculationType(access.enum("CalculationType", "PhotonVolumeDose"))
    assert world.plan.SetCalculationOption(model, "Nonsense", "1") is False


@rule
def ids_are_short_and_unique(world: World) -> None:
    refused(put(world.plan, "Id", "x" * 14))
    refused(lambda: world.plan.StructureSet.AddStructure("CONTROL", "x" * 17))
    refused(lambda: world.plan.StructureSet.AddStructure("CONTROL", "pTv"))


@rule
def what_was_closed_is_dead(world: World) -> None:
    things = [(name, thing) for name, thing in world.everything() if name not in ABOVE_PATIENTS]
    world.reopen()
    assert not list(answering(things)), list(answering(things))


@rule
def what_was_not_saved_is_lost(world: World) -> None:
    assert not list(world.plan.OptimizationSetup.Objectives)
    assert world.plan.Dose is None


@rule
def what_was_saved_is_there(world: World) -> None:
    world.patient.BeginModifications()
    world.aim(world.plan)
    world.application.SaveModifications()
    world.reopen()
    assert len(list(world.plan.OptimizationSetup.Objectives)) == 1


@rule
def a_site_in_cgy_speaks_cgy(world: World) -> None:
    world.reopen(dose_unit="cGy")
    assert str(world.plan.TotalDose.Unit) == "cGy"
    assert world.plan.TotalDose.Dose == 5000.0


@rule
def a_patient_that_is_open_elsewhere_is_not_had_for_writing(world: World) -> None:
    world.reopen(locked_by={LYING: "physicist"})
    refused(world.patient.BeginModifications, "physicist")


@rule
def a_failure_is_in_the_logs_only(world: World) -> None:
    world.reopen(faults={"dose": "fails", "reason": "no licence"})
    world.patient.BeginModifications()
    world.plan.Optimize(5)
    world.plan.CalculateLeafMotions()
    assert world.plan.CalculateDose().Success is False
    lines = [line for log in world.beam.CalculationLogs for line in log.MessageLines]
    assert any("no licence" in line for line in lines), lines


@rule
def optimising_needs_model_beams_and_prescription(world: World) -> None:
    world.reopen(ODD)
    world.patient.BeginModifications()
    for plan in ("NoModel", "NoBeams", "NoFractions"):
        world.aim(world.plans[plan])
    refused(lambda: world.plans["NoModel"].Optimize(5), "model")
    refused(lambda: world.plans["NoBeams"].Optimize(5), "beams")
    assert world.plans["NoFractions"].Optimize(5).Success is False
    assert world.plan.Optimize(5).Success is False  # it has no objectives


@rule
def an_approved_plan_is_not_changed(world: World) -> None:
    signed = world.plans["Treated"]
    for attempt in (
        put(signed, "Id", "other"), put(signed, "PlanNormalizationValue", 90.0), lambda: signed.Optimize(5),
        lambda: signed.SetPrescription(20, world.gy(2.0), 1.0), signed.CalculateDose, signed.CalculateLeafMotions,
        lambda: world.aim(signed), lambda: world.course.RemovePlanSetup(signed),
    ):  # fmt: skip
        refused(attempt)


@rule
def members_are_those_of_the_version(world: World) -> None:
    version = sys.argv[2]
    plan = access.api().PlanSetup
    assert hasattr(plan, "SetTargetStructureIfNoDose") is (version != "15.6")
    assert hasattr(plan, "get_PrescribedPercentage") is (version == "15.6")
    assert hasattr(plan, "get_BaseDosePlanningItem") is (version == "18.0")


@rule
def an_application_that_was_disposed_of_is_dead(world: World) -> None:
    world.application.Dispose()
    refused(lambda: world.application.OpenPatientById(LYING), "Dispose")


ABOVE_PATIENTS = ("Application", "User", "PatientSummary")
_OF_DOTNET = ("ToString", "GetHashCode", "GetType", "Equals", "Dispose", "GetEnumerator")


def answering(things: list[tuple[str, Any]], which: str = "") -> Iterator[str]:
    """The members without parameters, of names that begin so, that answer."""
    for name, thing in things:
        for method in thing.GetType().GetMethods():
            if method.IsStatic or method.IsGenericMethod or method.Name in _OF_DOTNET or len(method.GetParameters()):
                continue
            if not method.Name.startswith(which):
                continue
            try:
                method.Invoke(thing, None)
            except access.net_errors():
                continue
            yield f"{name}.{method.Name}"


def main(folder: Path) -> None:
    """Print, by rule, what was wrong; empty where it was enforced."""
    access.load(folder)
    world = World(Path(os.environ["BEAMWRIGHT_EMULATION"]))
    found: dict[str, str] = {}
    for name, check in RULES.items():
        try:
            check(world)
        except Exception as problem:
            found[name] = f"{type(problem).__name__}: {problem}"[:500]
        else:
            found[name] = ""
    print(json.dumps(found), flush=True)
    os._exit(0)  # .NET may wait for ever


if __name__ == "__main__":
    main(Path(sys.argv[1]))
