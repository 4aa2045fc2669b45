"""A TPS that can do less than the simulated one: the agent asks what it can, leaves out the rest, and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent import protocols
from agent.command import planning
from agent.language_model.openai_chat import OpenAiChat
from agent.loop import Budget, Options, RunError, run
from agent.planners import Planner
from agent.planners.catalogue import PlannerOptions, make_planner
from agent.planners.rules import Rules
from agent.preparation import PreparationError, ServerLacks
from agent.preparation.labels import free_label, helper_label, plan_label
from agent.protocols import LoadedProtocol
from agent.records import RunResult
from agent.report.page import write_report
from agent.run_folder import Run, write
from agent.settings import ModelSettings
from agent.trace import Trace, read
from bridge import model, testing
from bridge.backend import Monitor
from bridge.backends.simulator import Simulator
from bridge.client import Client
from sim_tps.cases import make_case
from tests.agent.coarse import COARSE
from tests.agent.model_server import serve_model
from tests.planners.seen import read as read_prompt
from tests.planners.sensible import sensible

LACKS = (
    "dose.grid",
    "objective.evaluate",
    "objective.hot-fraction",
    "objective.role.constraint",
    "objective.uniform",
    "optimize.fluence-only",
    "optimize.max-iterations",
    "optimize.max-seconds",
    "optimize.problem.hot-fraction",
    "optimize.seed",
    "plan.create.beamlet",
    "plan.create.optimization-grid",
)
HAS = {
    "commit.by-person": "YES",
    "operation.cancel.calculate-dose": "NONE",
    "operation.cancel.optimize": "NONE",
    "operation.progress": "STAGE",
    "reads.during-operation": "CACHED",
    "snapshot.restore": "CONFIG_ONLY",
}
NONE = model.DoseInfo(model.DoseKind.NONE)
POINTS = """\
id: coarse-points
title: TG-119 on coarse grids, with lambda and tau as upper points
site: phantom
intended_use: for tests
study: true
prescription: {fractions: 25, targets_gy: {OuterTarget: 50}}
normalise: {structure: OuterTarget, volume_percent: 95, dose_gy: 50}
plan:
  beams: [{gantry_deg: [0, 120, 240]}]
structures:
  OuterTarget: {required: true, kind: target, aliases: [PTV]}
  BODY: {required: true, kind: external, aliases: [External]}
  Core: {}
goals:
  - {structure: OuterTarget, goal: "D0.03cc[Gy] <= 56", ramp: [55, 56], rank: 1}
  - {structure: Core, goal: "Mean[Gy] <= 12", ramp: [12, 20], rank: 1}
objectives:
  - {structure: OuterTarget, type: lower, dose_gy: 50, volume_percent: 100, priority: 1000, fixed: true}
  - {structure: OuterTarget, type: hot, dose_gy: 50, volume_percent: 100, priority: 10, dose_bounds_gy: [50, 60],
     priority_bounds: [1, 1000]}
  - {structure: Core, type: hot, dose_gy: 50, volume_percent: 100, priority: 10, dose_bounds_gy: [5, 50],
     priority_bounds: [1, 1000]}
knowledge: prostate-drl
agent:
  may_change: [priority, dose_gy]
  priority_factor_per_step: 1000
  dose_step_percent: 100
"""
"""A coarse variant of the hot-fraction problem."""


class LikeEclipse(Simulator):
    """The simulated TPS with what an Eclipse declares: short labels, whole priorities, losses by structure."""

    def __init__(self, data_dir: Path, without: tuple[str, ...] = LACKS, **has: str) -> None:
        super().__init__(data_dir)
        self._without, self._has = without, HAS | has
        self.asked: list[model.PlanSpec] = []
        self.optimised: list[model.OptimizeSpec] = []
        self._dosed: set[str] = set()

    def info(self) -> model.ServerInfo:
        info = super().info()
        left = {key: value for key, value in info.capabilities.items() if key not in self._without}
        return replace(
            info,
            tps_name="Eclipse",
            capabilities={**left, **self._has},
            limits=replace(info.limits, max_plan_label_length=13, max_structure_label_length=16),
            priority_scale=replace(info.priority_scale, kind=model.PriorityScaleKind.VENDOR, integer=True),
        )

    def plan(self, plan: str) -> model.Plan:
        found = super().plan(plan)
        return found if plan in self._dosed else replace(found, dose=NONE)

    def create_plan(self, patient: str, spec: model.PlanSpec, provenance: model.Provenance) -> model.Plan:
        self.asked.append(spec)
        coarse = replace(spec, beamlet_mm=15.0, dose_grid_mm=8.0, optimization_grid_mm=10.0)
        return super().create_plan(patient, coarse, provenance)

    def optimize(self, plan: str, spec: model.OptimizeSpec, monitor: Monitor) -> model.OptimizationResult:
        self.optimised.append(spec)
        result = super().optimize(plan, spec, monitor)
        by_structure: dict[str, float] = {}
        for objective in self.objectives(plan):
            structure = objective.spec.structure
            by_structure[structure] = by_structure.get(structure, 0.0) + result.values[objective.name]
        self._dosed.discard(plan)
        return replace(result, granularity=model.ValueGranularity.PER_STRUCTURE, values=by_structure, dose=NONE)

    def calculate_dose(self, plan: str, grid_mm: float | None, monitor: Monitor) -> model.DoseResult:
        self._dosed.add(plan)
        return super().calculate_dose(plan, grid_mm, monitor)


@contextmanager
def serving(folder: Path, **has: str) -> Iterator[tuple[LikeEclipse, Client]]:
    tps = LikeEclipse(folder / "tps", **has)
    tps.tps.add_patient(make_case("tg119"))
    with testing.serve(tps) as server, server.client() as client:
        yield tps, client


def planned(client: Client, protocol: LoadedProtocol, planner: Planner, folder: Path, attempts: int = 2) -> RunResult:
    case = client.patients()[0].name
    with (
        Trace(folder / "trace.jsonl") as trace,
        client.session(case, model.SessionMode.READ_WRITE) as session,
    ):
        options = Options(Budget(attempts=attempts))
        result = run(client, session, case, protocol, planner, trace=trace, options=options)
        write(Run(result, None, None), folder)
    write_report(folder)
    return result


@pytest.fixture(scope="module")
def coarse() -> LoadedProtocol:
    return protocols.read(COARSE, "coarse.yaml")


@pytest.fixture(scope="module")
def ran(coarse: LoadedProtocol, tmp_path_factory: pytest.TempPathFactory) -> tuple[LikeEclipse, RunResult, Path]:
    """Two attempts of rules."""
    folder = tmp_path_factory.mktemp("run")
    with serving(folder) as (tps, client):
        return tps, planned(client, coarse, Rules(), folder), folder


def test_the_routine_runs_where_nothing_but_the_core_is_declared(ran: tuple[LikeEclipse, RunResult, Path]) -> None:
    """Rules plan, dose, normalise and bring the best attempt back, with no limit and no seed in any optimisation."""
    tps, result, _ = ran
    assert result.best_attempt.dose.kind is model.DoseKind.FINAL
    assert result.best_attempt.goals[0].value == pytest.approx(50.0, abs=0.005)
    assert {(spec.max_iterations, spec.max_seconds, spec.seed) for spec in tps.optimised} == {(None, None, None)}


def test_sizes_that_the_server_chooses_are_left_out_with_a_note(ran: tuple[LikeEclipse, RunResult, Path]) -> None:
    """No beamlet, no optimisation grid and no dose grid is asked for, and the run says of each what was wanted."""
    tps, result, _ = ran
    (spec,) = tps.asked
    assert (spec.beamlet_mm, spec.optimization_grid_mm, spec.dose_grid_mm) == (None, None, None)
    for wanted in ("beamlets of 15 mm", "an optimisation grid of 10 mm", "a dose grid of 8 mm"):
        assert any(f"The protocol asks for {wanted}" in note for note in result.notes), wanted


def test_the_plan_has_a_label_that_fits_and_claims_no_half_protocol(ran: tuple[LikeEclipse, RunResult, Path]) -> None:
    """``beamwright coarse`` is 17 characters: it is called ``beamwright``, and the run says so."""
    tps, result, _ = ran
    assert [spec.label for spec in tps.asked] == ["beamwright"]
    assert any("'beamwright'" in note for note in result.notes)


def test_losses_by_structure_are_shown_as_such(ran: tuple[LikeEclipse, RunResult, Path]) -> None:
    """They are in the attempt, the trace and the report, and no objective claims one for itself."""
    _, result, folder = ran
    values = result.best_attempt.structure_values
    assert {"OuterTarget", "Core", "BODY"} <= set(values)
    assert all(objective["value"] is None for line in events(folder, "Evaluated") for objective in line["objectives"])
    assert events(folder, "Evaluated")[0]["structure_losses"].keys() == values.keys()
    assert "one weighted value for each structure" in (folder / "report.html").read_text()


def test_a_model_is_told_losses_by_structure(coarse: LoadedProtocol, tmp_path: Path) -> None:
    """Where losses belong in the prompt, the structures' stand in it, with their trends."""
    with serving(tmp_path) as (_, client), serve_model(sensible()) as server:
        chat = OpenAiChat(ModelSettings(model="scripted", base_url=server.base_url))
        planned(client, coarse, make_planner("zero-shot", PlannerOptions(), chat), tmp_path, attempts=3)
        prompt = server.requests[-1]["messages"][-1]["content"]
    assert "one loss for each structure" in prompt
    assert "OuterTarget, all objectives" in prompt
    assert "does not tell the objectives' losses apart" not in prompt


def test_a_second_plan_gets_another_label(tmp_path: Path) -> None:
    """A label that is taken, in whatever case, is numbered within the length that the server takes."""
    assert plan_label("tg119", (), 64) == "beamwright tg119"
    assert plan_label("prostate-79.2", (), 13) == "beamwright"
    assert plan_label("prostate-79.2", ("BEAMWRIGHT",), 13) == "beamwright_2"
    assert plan_label("prostate-79.2", ("beamwright", "beamwright_2"), 13) == "beamwright_3"
    assert (
        plan_label("prostate-79.2", [f"beamwright_{n}" for n in range(2, 100)] + ["beamwright"], 13) == "beamwrigh_100"
    )


def test_helper_labels_fit_the_server_and_stay_apart() -> None:
    """A name that is too long keeps its consonants and its end; a taken one gets its number within the length."""
    assert helper_label("SpinalCord_PRV05", 16) == "zSpinalCord_PRV5"
    assert helper_label("OpticNerve_L_PRV03", 16) == "zOpticNrv_L_PRV3"
    assert helper_label("zRing_3_10", 16) == "zRing_3_10"
    assert len(helper_label("zBCDFGHJKLMNPQRSTVWX", 16)) == 16
    assert free_label("zSpinalCord_PRV5", {"ZSPINALCORD_PRV5"}, 16) == "zSpinalCord_PR_2"
    with pytest.raises(PreparationError, match="is taken"):
        free_label("ab", {"ab", *(f"a_{n}" for n in range(2, 10))} | {"_2", "ab"}, 2)


@pytest.mark.parametrize(
    ("name", "variant"), [("prostate-m2m-7", "prostate-m2m-7-points"), ("liver-m2m", "liver-m2m-points")]
)
def test_the_hot_fraction_problem_is_refused_with_its_variant(name: str, variant: str, tmp_path: Path) -> None:
    """The refusal has the contract's reason, names the capability and the declared variant, and nothing was made."""
    with serving(tmp_path) as (tps, client), pytest.raises(ServerLacks, match=variant) as refusal:
        planned(client, protocols.load(name), Rules(), tmp_path)
    assert refusal.value.reason == "CAPABILITY_MISSING"
    assert refusal.value.metadata == {"capability": "optimize.problem.hot-fraction"}
    assert tps.asked == []
    (failed,) = events(tmp_path, "Failed")
    assert "CAPABILITY_MISSING" in failed["message"]


def test_a_lacking_function_is_refused_before_anything_is_made(coarse: LoadedProtocol, tmp_path: Path) -> None:
    """An objective that the server has no words for ends the run at once, by its name."""
    text = COARSE.replace("type: upper, dose_gy: 54, volume_percent: 0", "type: max, dose_gy: 54")
    with (
        serving(tmp_path, **{"objective.max-dose": "NO"}) as (tps, client),
        pytest.raises(ServerLacks, match="BODY max"),
    ):
        planned(client, protocols.read(text, "max.yaml"), Rules(), tmp_path)
    assert tps.asked == []


def test_priorities_that_are_none_of_the_servers_are_refused(tmp_path: Path) -> None:
    """A broken priority is not rounded where the server takes whole ones."""
    text = COARSE.replace("priority: 40}", "priority: 40.5}")
    with (
        serving(tmp_path) as (_, client),
        pytest.raises(PreparationError, match=r"'zRing upper'.*40\.5.*whole numbers"),
    ):
        planned(client, protocols.read(text, "half.yaml"), Rules(), tmp_path)


def test_the_optimisers_dose_cannot_be_judged_where_it_is_not_shown(tmp_path: Path) -> None:
    """A protocol judged on the optimiser's own dose ends with the reason, not with a plan without one."""
    text = COARSE.replace("  beamlet_mm: 15\n", "  judged_on: optimised\n  beamlet_mm: 15\n")
    with serving(tmp_path) as (_, client), pytest.raises(RunError, match="judges the optimiser's own dose"):
        planned(client, protocols.read(text, "ideal.yaml"), Rules(), tmp_path)


def test_a_person_is_told_to_save_where_the_commit_cannot(
    ran: tuple[LikeEclipse, RunResult, Path], coarse: LoadedProtocol, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With ``commit.by-person`` nothing claims that the plan was saved."""
    monkeypatch.setattr("agent.command.console.typer.confirm", lambda *_, **__: True)
    case, protocol = "", coarse
    with serving(tmp_path) as (_, client):
        case = client.patients()[0].name
        with Trace(tmp_path / "trace.jsonl") as trace, client.session(case, model.SessionMode.READ_WRITE) as session:
            options = Options(Budget(attempts=1))
            result = run(client, session, case, protocol, Rules(), trace=trace, options=options)
            planning._commit(session, result)
    said = " ".join(capsys.readouterr().out.split())
    assert "Save the patient there yourself" in said
    assert "Saved on the server" not in said


def test_m2m_plans_with_upper_points_on_whole_priorities(tmp_path: Path) -> None:
    """The planner is the one for the published problem: tau and lambda move, V is neither asked nor sent."""
    with serving(tmp_path) as (_, client), serve_model(sensible()) as server:
        chat = OpenAiChat(ModelSettings(model="scripted", base_url=server.base_url))
        protocol = protocols.read(POINTS, "points.yaml")
        result = planned(client, protocol, make_planner("m2m", PlannerOptions(), chat), tmp_path, attempts=4)
    assert len(result.attempts) >= 2
    assert dict(result.format_errors) == {}
    prompt = "\n".join(message["content"] for message in server.requests[0]["messages"])
    assert "is 1 for every structure here and is not yours to set" in prompt
    assert set(read_prompt(server.requests[0]).values) == {
        (structure, word) for structure in ("OuterTarget", "Core") for word in ("lambda", "tau")
    }
    answers = [json.loads(sensible()(request).text)["parameters"] for request in server.requests]  # type: ignore[union-attr]
    assert all(set(row) == {"lambda", "tau"} for answer in answers for row in answer.values())
    sent = [objective.spec for objective in result.attempts[1].objectives]
    assert [spec.function for spec in sent][1:] == [
        model.DoseVolumePoint(model.Bound.UPPER, pytest.approx(50 * row["tau"], rel=1e-3), 0.0)
        for row in (answers[0]["OuterTarget"], answers[0]["Core"])
    ]
    assert sent[0].priority == 1000


def test_the_packaged_variant_is_planned_by_m2m_on_the_simulated_tps(tmp_path: Path) -> None:
    """``prostate-m2m-7-points`` from the nominal start: the rectum's goals are missed at first, and met afterwards."""
    simulator = Simulator(tmp_path / "tps")
    simulator.tps.add_patient(make_case("prostate"))
    with testing.serve(simulator) as served, served.client() as client, serve_model(sensible()) as server:
        chat = OpenAiChat(ModelSettings(model="scripted", base_url=server.base_url))
        protocol = protocols.load("prostate-m2m-7-points")
        result = planned(client, protocol, make_planner("m2m", PlannerOptions(), chat), tmp_path, attempts=4)
    missed = [sum(goal.status.value == "missed" for goal in attempt.goals) for attempt in result.attempts]
    assert missed[0] > 0
    assert missed[result.best - 1] == 0


def events(folder: Path, kind: str) -> list[Mapping[str, object]]:
    return [line["data"] for line in read(folder / "trace.jsonl") if line["event"] == kind]
