"""How hard the cohorts are: what the protocol's own objectives miss on the first attempt.

    python -m tests.benchmarks.first_attempts --every 4

Plans every n-th patient of each cohort once over gRPC, no re-planning, and prints what of rank 1 and 2 was not met.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from agent import protocols
from agent.loop import Budget, Options, run
from agent.planners.rules import Rules
from agent.records import GoalStatus
from agent.trace import Trace
from bridge import model
from bridge.backends.simulator import Simulator
from bridge.testing import serve
from sim_tps.cases import cohort, make_case

COHORTS = {"brain-srs": "brain-srs", "head-and-neck": "hn-70-63-56", "prostate": "prostate-79.2"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=4, help="plan every n-th patient of a cohort (default: 4)")
    every = parser.parse_args().every
    found = {name: {seed: open_goals(name, seed) for seed, _ in cohort(name)[::every]} for name in COHORTS}
    for name, patients in found.items():
        hard = sum(bool(goals) for goals in patients.values())
        print(f"{name}: {hard} of {len(patients)} do not meet a rank-1 or rank-2 goal on the first attempt")
    out = Path("build/first-attempts.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(found, indent=2))


def open_goals(name: str, seed: int) -> list[str]:
    """What of rank 1 and 2 is missed, or only acceptable, after one attempt."""
    with tempfile.TemporaryDirectory() as folder:
        backend = Simulator(Path(folder))
        backend.tps.add_patient(make_case(name, seed))
        with serve(backend) as server, server.client() as client, Trace(Path(folder) / "trace.jsonl") as trace:
            patient = client.patients()[0].name
            with client.session(patient, mode=model.SessionMode.READ_WRITE) as session:
                protocol, planner = protocols.load(COHORTS[name]), Rules()
                result = run(
                    client,
                    session,
                    patient,
                    protocol,
                    planner,
                    trace=trace,
                    options=Options(Budget(attempts=1), case_seed=seed),
                )
    failed = (GoalStatus.MISSED, GoalStatus.ACCEPTABLE)
    goals = [goal for goal in result.best_attempt.goals if goal.rank <= 2 and goal.status in failed]
    words = [f"{g.structure} {g.metric} {g.comparator} {g.limit:g}: {g.value:.2f} {g.status}" for g in goals]
    print(name, seed, "; ".join(words) or "all met", flush=True)
    return words


if __name__ == "__main__":
    main()
