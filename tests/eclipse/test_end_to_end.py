"""`beamwright plan`, unchanged, on an emulated Eclipse: a plan made there alone, and a copy of the plan that is open.

The one idea: the emulation calculates with the simulator's own physics, so whatever differs from the same command on a
simulated TPS was put there by the way through ESAPI, and nothing may be.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.command.exit_status import ExitStatus
from agent.goals import NOTICEABLE_PERCENT
from agent.protocols import load
from agent.trace import verify
from tests.agent.coarse import COARSE
from tests.eclipse import commanded, emulated
from tests.eclipse.commanded import Commanded, differences
from tests.eclipse.emulated import ALL, FULL, PHANTOM, PLAN, Eclipse, Profile
from tests.planners.sensible import sensible

ATTEMPTS = "3"
MADE = "beamwright"
"""The working plan's label where 13 characters are too few for the protocol's name."""
POINTS = "prostate-m2m-7-points"
IN_ECLIPSE = Profile("in-eclipse", "18.0", "Gy")

SAME = 1e-6
"""Largest relative difference of a value between the two servers, where both are asked to solve the same problem.

The emulation's segments are the simulator's structures, so a ring made by SegmentVolume operations is the simulator's
ring. What may differ is rounding: a site in cGy multiplies and divides by 100, Eclipse's normalisation is a number of
its own, and an index by volumes that ESAPI gives is about 1e-8 off. A millionth is above those and four orders of
magnitude below what a report shows of a dose.
"""
NEARLY_PERCENT = NOTICEABLE_PERCENT
"""Largest difference in percent of a goal's limit, where the two problems differ in a last bit or in a helper's rim.

An organ cropped by a target is cut voxel by voxel: the contract's way keeps it inside the External in one step, the way
through SegmentVolume in two, and where surfaces cross inside a voxel the share of it differs (head and neck: 50 of 8417
voxels of zPTV_6300, by at most 0.15; External less targets: the last bit of a few hundred voxels). And the emulation
sums a point objective at 0 or 100 % by another loop, MAX or MIN, than the simulator's points. The optimiser stops where
it converges, not at the optimum, and amplifies even a last bit to its own scatter; less than this share of a limit is
that scatter, as the agent has it. Without those helpers the same cases agree to 3e-8.
"""

RESTORED_PERCENT = 5.0
"""Eclipse restores no dose, so the best attempt is optimised again, from the fluence that is there. The agent reports
more than 2 % of a value as missed, and 2.05 % was seen of a bladder's V80Gy of 0.96 %: 0.02 points of its volume.
"""

MEASURED = COARSE.replace("goals:\n", """\
goals:
  - {structure: OuterTarget, goal: "V50Gy[%] >= 95", rank: 2}
  - {structure: OuterTarget, goal: "DC0.5cc[Gy] >= 45", rank: 3}
  - {structure: OuterTarget, goal: "CI Paddick >= 0.8", rank: 3}
  - {structure: OuterTarget, goal: "GI <= 5", rank: 3}
  - {structure: BODY, goal: "D0.03cc[Gy] <= 55", rank: 2}
  - {structure: Core, goal: "V20Gy[cc] <= 5", rank: 3}
  - {structure: Core, goal: "CV15Gy[cc] >= 5", rank: 3}
  - {structure: zRing, goal: "V46Gy[%] <= 20", rank: 3}
""").replace("report:\n", """\
report:
  - {structure: Core, metric: "Mean[Gy]"}
  - {structure: Core, metric: "Max[Gy]"}
  - {structure: OuterTarget, metric: "Min[Gy]"}
  - {structure: OuterTarget, metric: CI RTOG}
  - {structure: OuterTarget, metric: R50}
""")  # fmt: skip
"""Every kind of question about a dose, on coarse grids."""
VALUES = 17
"""Of each attempt: goals that the phantom has a structure for, and what is reported."""

REFINING = MEASURED.replace(
    "objectives:\n",
    """stages:
  - id: refinement
    title: Less dose around the target
    goals:
      - {structure: zRing, goal: "V50Gy[%] <= 1", rank: 2}
objectives:
""",
)


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("protocols") / "coarse.yaml"
    path.write_text(MEASURED)
    return str(path)


@pytest.fixture(scope="module")
def simulated(protocol: str, tmp_path_factory: pytest.TempPathFactory) -> Commanded:
    """The phantom, planned by rules on a simulated TPS."""
    told = ("--protocol", protocol, "--planner", "rules", "--max-attempts", ATTEMPTS)
    return commanded.simulated(tmp_path_factory.mktemp("simulated"), "tg119", *told)


@pytest.fixture(scope="module", params=[
    pytest.param(profile, id=str(profile), marks=() if profile == FULL else pytest.mark.slow) for profile in ALL
])  # fmt: skip
def by_rules(
    request: pytest.FixtureRequest, esapi: None, protocol: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Eclipse, Commanded]:
    """The phantom, planned by rules and committed; and the Eclipse it was planned on, which has ended by now."""
    profile: Profile = request.param
    folder = tmp_path_factory.mktemp("rules")
    commanded.furnish(folder / "site" / "hospital", protocol, "tg119", version=profile.version)
    told = ("--protocol", protocol, "--planner", "rules", "--max-attempts", ATTEMPTS, "--commit")
    with emulated.eclipse(profile, folder / "site", after="save", **commanded.site_of(protocol)) as eclipse:
        run = commanded.on(eclipse, folder, *told, answer="y\n")
        if eclipse.in_eclipse:
            _leave(eclipse)
        else:
            eclipse.stop()
    return eclipse, run


def test_rules_leave_a_plan_and_its_run(by_rules: tuple[Eclipse, Commanded]) -> None:
    """The exit status tells of the goals; report, trace and dose lie in the folder; the best attempt came back."""
    _, run = by_rules
    assert run.status == ExitStatus.OK, run.said
    assert verify(run.trace).ok
    assert {"report.html", "result.json", "trace.jsonl", "pictures", "plan"} <= {p.name for p in run.folder.iterdir()}
    assert run.result["attempts"] == int(ATTEMPTS)
    assert run.result["restoration"]["within"]
    assert run.result["dose_kind"] == "FINAL"
    assert run.result["mu_per_fraction"] > 0.0


def test_where_the_plan_comes_from(by_rules: tuple[Eclipse, Commanded]) -> None:
    """Alone it is made with the protocol's beams; in Eclipse it is a copy of the open plan. Helpers are made."""
    eclipse, run = by_rules
    origin = run.prepared["plan_origin"]
    assert origin.endswith(f".{PLAN}") if eclipse.in_eclipse else origin == "created"
    assert [beam["gantry_deg"] for beam in run.prepared["beams"]] == [0.0, 120.0, 240.0]
    assert "zRing V46Gy[%]" in {each.metric for each in run.measured[0] if each.value is not None}


def test_the_report_names_the_tps_for_what_it_is(by_rules: tuple[Eclipse, Commanded]) -> None:
    """Eclipse, its version, that it is emulated; what it would not take from the protocol; its own models."""
    eclipse, run = by_rules
    version = f"{eclipse.profile.version} emulated"
    assert run.result["tps"] == {"name": "Eclipse", "version": version, "mode": "RESEARCH"}
    assert f"Eclipse {version}" in run.report
    assert emulated.models(eclipse.profile.version)["PhotonVolumeDose"] in run.report
    assert "Eclipse takes none, and uses its own" in run.report or eclipse.in_eclipse


def test_a_person_commits(by_rules: tuple[Eclipse, Commanded]) -> None:
    """The plan and its helpers are in the database, unapproved, beside the clinic's plan, which is as it was."""
    eclipse, run = by_rules
    assert ("Save the patient there yourself" if eclipse.in_eclipse else "Saved on the server.") in run.said
    saved = eclipse.saved(PHANTOM)
    plans = {plan["id"]: plan for course in saved["courses"] for plan in course["plans"]}
    assert set(plans) == {PLAN, MADE}
    assert (plans[MADE]["dose_kind"], plans[MADE]["approval"]) == ("final", "UnApproved")
    assert (plans[PLAN]["dose"], plans[PLAN]["objectives"]) == (None, [])
    assert "zRing" in {structure["id"] for structure in saved["structure_sets"][0]["structures"]}


def test_the_same_metrics_as_on_a_simulated_tps(by_rules: tuple[Eclipse, Commanded], simulated: Commanded) -> None:
    """Every value of every attempt, and so every change that the rules made because of them."""
    _, run = by_rules
    found = differences(simulated, run)
    assert len(found) == int(ATTEMPTS) * VALUES
    worst = max(found, key=lambda each: each.relative)
    assert worst.relative <= SAME, worst
    assert [told["changes"] for told in run.result["history"]] == [
        told["changes"] for told in simulated.result["history"]
    ]


def test_sage_plans_the_open_plan(own_eclipse: Callable[..., Eclipse], tmp_path: Path) -> None:
    """Its answers hold, its attempts are made on a copy, and the person finds it unsaved in the window."""
    path = tmp_path / "refining.yaml"
    path.write_text(REFINING)
    commanded.furnish(tmp_path / "site" / "hospital", str(path), "tg119")
    eclipse = own_eclipse(IN_ECLIPSE, tmp_path / "site", after="save", **commanded.site_of(str(path)))
    told = ("--protocol", str(path), "--planner", "sage", "--max-attempts", ATTEMPTS, "--commit")
    run = commanded.on(eclipse, tmp_path, *told, answer="y\n", script=sensible("think"))
    _planned_by_a_model(run)
    unsaved = _leave(eclipse)
    assert [plan.partition("/")[2] for plan in unsaved["new_plans"]] == [MADE]


@pytest.mark.parametrize("name", [
    "prostate-m2m-7", *(pytest.param(name, marks=pytest.mark.slow) for name in ("liver-m2m", "prostate-m2m-180"))
])  # fmt: skip
def test_the_published_m2m_is_refused(name: str, own_eclipse: Callable[..., Eclipse], tmp_path: Path) -> None:
    """CAPABILITY_MISSING, before anything is made or reported; and which variant runs there."""
    eclipse = own_eclipse(FULL, tmp_path / "site")
    run = commanded.on(eclipse, tmp_path, "--protocol", name, "--planner", "rules")
    assert run.status == ExitStatus.FAILED
    assert "CAPABILITY_MISSING: optimize.problem.hot-fraction" in run.said
    variant = load(name).protocol.variant
    assert variant is None or f"--protocol {variant}" in run.said
    assert not (run.folder / "result.json").exists()
    eclipse.stop()
    assert {plan["id"] for course in eclipse.saved(PHANTOM)["courses"] for plan in course["plans"]} == {PLAN}


@pytest.mark.slow
@pytest.mark.parametrize(("case", "protocol", "planner"), [
    ("brain-srs", "brain-srs", "rules"),
    ("prostate", "prostate-79.2", "rules"),
])  # fmt: skip
def test_packaged_protocols_give_nearly_the_same_metrics(
    case: str, protocol: str, planner: str, own_eclipse: Callable[..., Eclipse], tmp_path: Path
) -> None:
    """Fine grids, non-coplanar beams and helpers made by set operations change a goal by less than is noticeable."""
    told = ("--protocol", protocol, "--planner", planner, "--max-attempts", "2")
    simulated = commanded.simulated(tmp_path / "simulated", case, *told)
    commanded.furnish(tmp_path / "site" / "hospital", protocol, case)
    eclipse = own_eclipse(FULL, tmp_path / "site", **commanded.site_of(protocol))
    run = commanded.on(eclipse, tmp_path, *told)
    assert run.status == simulated.status, run.said
    worst = max(differences(simulated, run), key=lambda each: each.percent_of_limit)
    assert worst.percent_of_limit <= NEARLY_PERCENT, worst


@pytest.mark.slow
def test_sage_plans_radiosurgery_in_eclipse(own_eclipse: Callable[..., Eclipse], tmp_path: Path) -> None:
    """Seventeen non-coplanar beams of the open plan, fine leaves; every goal is met and the refinement begins."""
    commanded.furnish(tmp_path / "site" / "hospital", "brain-srs", "brain-srs")
    eclipse = own_eclipse(IN_ECLIPSE, tmp_path / "site", **commanded.site_of("brain-srs"))
    told = ("--protocol", "brain-srs", "--planner", "sage", "--max-attempts", "6")
    run = commanded.on(eclipse, tmp_path, *told, script=sensible("think"))
    _planned_by_a_model(run)
    assert {beam["couch_deg"] for beam in run.prepared["beams"]} == {0.0, 45.0, 90.0, 315.0}
    assert all(goal["status"] in ("met", "acceptable") for goal in run.result["first_stage_goals"])
    assert run.events("StageBegan")


@pytest.mark.slow
def test_zero_shot_plans_head_and_neck(own_eclipse: Callable[..., Eclipse], tmp_path: Path) -> None:
    """Three dose levels and seventeen helpers, under labels that Eclipse has room for."""
    commanded.furnish(tmp_path / "site" / "hospital", "hn-70-63-56", "head-and-neck")
    eclipse = own_eclipse(FULL, tmp_path / "site", **commanded.site_of("hn-70-63-56"))
    told = ("--protocol", "hn-70-63-56", "--planner", "zero-shot", "--max-attempts", "4")
    run = commanded.on(eclipse, tmp_path, *told, script=sensible("field"))
    _planned_by_a_model(run)


@pytest.mark.slow
def test_the_declared_variant_of_m2m_runs(own_eclipse: Callable[..., Eclipse], tmp_path: Path) -> None:
    """Lambda and tau as upper points, D95 by normalisation; the report calls it a variant; criteria are gained."""
    commanded.furnish(tmp_path / "site" / "hospital", POINTS, "prostate")
    eclipse = own_eclipse(FULL, tmp_path / "site", **commanded.site_of(POINTS))
    told = ("--protocol", POINTS, "--planner", "m2m", "--max-attempts", "6")
    run = commanded.on(eclipse, tmp_path, *told, script=sensible())
    _planned_by_a_model(run)
    assert "A variant of prostate-m2m-7, not the published problem" in run.report
    scores = [told["score"]["met"] for told in run.result["history"]]
    assert run.result["score"]["met"] > scores[0]


def _planned_by_a_model(run: Commanded) -> None:
    """Every answer was taken, more than the first attempt was made, and the best one came back."""
    assert run.status in (ExitStatus.OK, ExitStatus.GOAL_MISSED), run.said
    assert verify(run.trace).ok
    assert run.result["attempts"] >= 2
    assert run.result["format_errors"] == {}
    assert not run.result["restoration"]["exact"]
    assert run.result["restoration"]["largest_difference_percent"] <= RESTORED_PERCENT
    assert run.asked >= 1


def _leave(eclipse: Eclipse) -> dict[str, list[str]]:
    """The person closes the plug-in's window and Eclipse does what it was started for; what was unsaved before."""
    eclipse.close_window()
    unsaved = eclipse.event("unsaved")
    eclipse.event("saved")
    return unsaved
