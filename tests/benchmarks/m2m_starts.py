"""Where the M2M study begins: what its starts score on the built-in patients before any agent has done anything.

    python -m tests.benchmarks.m2m_starts prostate-7
    python -m tests.benchmarks.m2m_starts prostate-180 --patients 3
    python -m tests.benchmarks.m2m_starts liver

Solves the hot-fraction problem over gRPC for the nominal start, the static set and a few random starts of every patient
(the prostate cohort; livers with a large metastasis), prints each score and the means, and writes them to
``build/m2m-starts.json``. A score counts criteria: 1 where the limit is kept, else 0; by ramp, a point falls to 0 over
the next 5 % of the volume or 4 Gy of the mean. The hottest dose of the target falls from 107 to 110 % of the
prescription; there 0/1 counts the upper end.

The dose is the optimiser's, as in the engine of the published study, which sequences nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from agent.metrics import parse_goal
from bridge import model
from bridge.backends.simulator import Simulator
from bridge.client import Session
from bridge.testing import serve
from sim_tps.cases import cohort, make_case
from sim_tps.cases.abdomen import LARGE_SEEDS

OUT = Path("build/m2m-starts.json")
HEAVIEST = 100.0
"""Priority of the heaviest structure: only ratios act."""
STATIC_RATIO = 55.0
"""λ of the target over that of an organ, as the published agent ended (M2M, arXiv 2606.00922)."""
BODY = "External"


@dataclass(frozen=True)
class Criterion:
    """One point of the score."""

    structure: str
    goal: str
    full_at: float
    """The whole point by ramp."""
    zero_at: float

    def points(self, value: float) -> tuple[float, float]:
        """By 0/1 and by ramp."""
        ramp = (self.zero_at - value) / (self.zero_at - self.full_at)
        return float(value <= parse_goal(self.goal).limit), float(np.clip(ramp, 0.0, 1.0))


@dataclass(frozen=True)
class Study:
    """One scenario: beams, prescription, criteria."""

    case: str
    seeds: Sequence[int]
    gantry_and_couch_deg: tuple[tuple[float, float], ...]
    prescription_gy: float
    fractions: int
    organs: tuple[str, ...]
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True)
class Weighing:
    """The three parameters of one structure."""

    weight: float
    """λ; only ratios act."""
    dose: float
    """τ, as a fraction of the prescription."""
    hottest: float
    """V, the fraction of the structure that is penalised."""


Start = Mapping[str, Weighing]


@dataclass(frozen=True)
class Result:
    """What one start came to."""

    start: Start
    iterations: int
    stop: str
    score: float
    ramp: float
    body_max_gy: float
    values: Mapping[str, float]
    """By criterion."""

    def __str__(self) -> str:
        scores = f"{self.score:2.0f} (ramp {self.ramp:5.2f}), body max {self.body_max_gy:5.1f} Gy"
        values = " ".join(f"{value:.1f}" for value in self.values.values())
        return f"{scores}, {self.iterations:2d} iterations: {values}"


Results = Mapping[str, Result]
"""Of one patient, by name of the start."""


def _percent(structure: str, *limits: tuple[float, float]) -> tuple[Criterion, ...]:
    """Volumes at doses; the ramp ends 5 % of the volume beyond the limit."""
    return tuple(Criterion(structure, f"V{gy:g}Gy[%] <= {most:g}", most, most + 5.0) for gy, most in limits)


NINE = (
    Criterion("PTV", "D0.03cc[Gy] <= 87.1", 84.7, 87.1),
    *_percent("Bladder", (80, 15), (75, 25), (70, 35), (65, 50)),
    *_percent("Rectum", (75, 15), (70, 25), (65, 35), (60, 50)),
)
FEMURS = tuple(criterion for side in "LR" for criterion in _percent(f"Femur_Head_{side}", (50, 5), (45, 25), (40, 40)))
PROSTATE_SEEDS = [seed for seed, _ in cohort("prostate")]
STUDIES = {
    "prostate-7": Study(
        case="prostate",
        seeds=PROSTATE_SEEDS,
        gantry_and_couch_deg=tuple((gantry, 0) for gantry in (0, 32, 64, 96, 264, 296, 328)),
        prescription_gy=79.2,
        fractions=44,
        organs=("Bladder", "Rectum"),
        criteria=NINE,
    ),
    "prostate-180": Study(
        case="prostate",
        seeds=PROSTATE_SEEDS,
        gantry_and_couch_deg=tuple((gantry, 0) for gantry in range(0, 360, 2)),
        prescription_gy=79.2,
        fractions=44,
        organs=("Bladder", "Rectum", "Femur_Head_L", "Femur_Head_R"),
        criteria=(*NINE, *FEMURS),
    ),
    "liver": Study(
        case="liver",
        seeds=LARGE_SEEDS[:5],
        gantry_and_couch_deg=((58, 0), (106, 0), (212, 0), (328, 0), (216, 32), (226, 347), (296, 17)),
        prescription_gy=50.0,
        fractions=25,
        organs=("Liver", "Heart"),
        criteria=(
            Criterion("PTV", "D0.03cc[Gy] <= 55", 53.5, 55.0),
            Criterion("Liver", "Mean[Gy] <= 28", 28.0, 32.0),
            Criterion("Heart", "Mean[Gy] <= 26", 26.0, 30.0),
            *_percent("Heart", (25, 10)),
        ),
    ),
}
"""Prostate limits: ProKnow as published; femoral heads and liver: ours."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--patients", type=int, help="so many, from the first (default: all)")
    parser.add_argument("--random", type=int, default=3, help="random starts of each patient (default: 3)")
    parser.add_argument("--grid-mm", type=float, default=3.0, help="dose grid (default: 3)")
    asked = parser.parse_args()
    study = STUDIES[asked.study]
    results = {
        seed: patient_results(study, seed, asked.random, asked.grid_mm) for seed in study.seeds[: asked.patients]
    }
    means = {kind: summary(list(results.values()), kind) for kind in ("nominal", "static", "random")}
    for kind, scores in means.items():
        print(f"{asked.study}, {len(results)} patients, {kind}: {scores}")
    written = json.loads(OUT.read_text()) if OUT.exists() else {}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        json.dumps({**written, asked.study: {"means": means, "patients": results}}, indent=2, default=asdict)
    )


def patient_results(study: Study, seed: int, random_starts: int, grid_mm: float) -> Results:
    """Every start of one patient, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        backend = Simulator(Path(folder))
        backend.tps.add_patient(make_case(study.case, seed))
        with serve(backend) as server, server.client() as client:
            patient = client.patients()[0].name
            with client.session(patient, mode=model.SessionMode.READ_WRITE) as session:
                plan = made_plan(session, study, grid_mm)
                results = {}
                for name, start in starts(study, seed, random_starts).items():
                    results[name] = solved(session, plan, study, start)
                    print(f"{seed} {name:9s} {results[name]}", flush=True)
                return results


def starts(study: Study, seed: int, random_starts: int) -> dict[str, Start]:
    """Every start of one patient, by its name."""
    drawings = {f"random {n}": drawn(study, np.random.default_rng([seed, n])) for n in range(random_starts)}
    return {"nominal": nominal(study), "static": static(study), **drawings}


def nominal(study: Study) -> Start:
    """Where the published tests begin."""
    return {"PTV": Weighing(1.0, 1.0, 0.1), **dict.fromkeys(study.organs, Weighing(1.0, 1.0, 1.0))}


def static(study: Study) -> Start:
    """Where the published agent ends, near enough, on every patient."""
    return {"PTV": Weighing(STATIC_RATIO, 1.0, 0.1), **dict.fromkeys(study.organs, Weighing(1.0, 0.6, 1.0))}


def drawn(study: Study, rng: np.random.Generator) -> Start:
    """A random start in the published ranges."""
    target = Weighing(rng.uniform(0.3, 1.0), rng.uniform(1.0, 1.2), rng.uniform(0.1, 0.3))
    return {"PTV": target, **{organ: Weighing(*rng.uniform(0.3, 1.0, 3).tolist()) for organ in study.organs}}


def made_plan(session: Session, study: Study, grid_mm: float) -> str:
    """A plan with the study's beams; its resource name."""
    target = _resources(session)["PTV"]
    beams = tuple(
        model.BeamSpec(gantry_deg=gantry, couch_deg=couch, isocentre_structure=target)
        for gantry, couch in study.gantry_and_couch_deg
    )
    prescription = model.Prescription(study.fractions, (model.TargetPrescription(target, study.prescription_gy),))
    spec = model.PlanSpec(
        label="M2M start",
        prescription=prescription,
        beams=beams,
        dose_grid_mm=grid_mm,
        optimization_grid_mm=grid_mm,
        beamlet_mm=10.0,
    )
    return session.create_plan(spec).name


def solved(session: Session, plan: str, study: Study, start: Start) -> Result:
    """Optimise from a start, scale D95 to the prescription, and score."""
    resources = _resources(session)
    session.replace_objectives(plan, tuple(_specs(resources, study, start)))
    done = session.optimize(plan, model.OptimizeSpec(problem=model.OptimizationProblem.HOT_FRACTION))
    session.set_normalization(plan, model.CoverageNormalization(resources["PTV"], 95.0, study.prescription_gy))
    queries = [parse_goal(c.goal).metric.query(resources[c.structure], study.prescription_gy) for c in study.criteria]
    hottest = model.MetricQuery(model.MetricKind.MAX_DOSE, resources[BODY])
    *values, body_gy = _numbers(session, plan, [*queries, hottest])
    points = np.array([c.points(value) for c, value in zip(study.criteria, values, strict=True)])
    score, ramp = points.sum(axis=0).tolist()
    named = {f"{c.structure} {c.goal}": value for c, value in zip(study.criteria, values, strict=True)}
    return Result(start, done.iterations, done.stop_reason.name, score, ramp, body_gy, named)


def summary(patients: Sequence[Results], kind: str) -> dict[str, str]:
    """Mean and standard deviation of both scores over all starts of one kind, and the hottest body."""
    found = [result for results in patients for name, result in results.items() if name.startswith(kind)]
    if not found:
        return {}
    scores = {"0/1": [result.score for result in found], "ramp": [result.ramp for result in found]}
    means = {how: f"{np.mean(values):.2f} ± {np.std(values):.2f}" for how, values in scores.items()}
    return {**means, "hottest body": f"{max(result.body_max_gy for result in found):.1f} Gy"}


def _specs(resources: Mapping[str, str], study: Study, start: Start) -> Iterator[model.ObjectiveSpec]:
    heaviest = max(weighing.weight for weighing in start.values())
    for name, weighing in start.items():
        hot = model.HotFraction(weighing.dose * study.prescription_gy, 100.0 * weighing.hottest)
        yield model.ObjectiveSpec(resources[name], hot, HEAVIEST * weighing.weight / heaviest)
    yield model.ObjectiveSpec(
        resources["PTV"],
        model.DoseVolumePoint(model.Bound.LOWER, study.prescription_gy, 95.0),
        priority=None,
        role=model.ObjectiveRole.CONSTRAINT,
        relation=model.Relation.EQUAL,
    )


def _numbers(session: Session, plan: str, queries: Sequence[model.MetricQuery]) -> list[float]:
    answers = session.evaluate(plan, queries)
    return [answer.value for answer in answers if answer.value is not None]


def _resources(session: Session) -> dict[str, str]:
    return {structure.label: structure.name for structure in session.structures(session.patient)}


if __name__ == "__main__":
    main()
