"""``make bench``: pyRadPlan and our engine on the same cases in turn, and one table of ratios.

Also written to ``build/bench.json``. What is measured, and how, is told in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from rich.console import Console

from tests.benchmarks import figures, peer, rates, scaling
from tests.benchmarks.cases import CASES, SHARED_DATA, Case
from tests.benchmarks.figures import Figure, Measured
from tests.benchmarks.measuring import bandwidth_gb_s, child, machine_facts

OUT = Path("build/bench.json")
BUSY = 0.7
"""Load average, before anything was started, that means the machine is not ours alone."""
TOLD: Mapping[str, Callable[[Case, peer.Peer, Measured], Sequence[Figure]]] = {
    "tg119": figures.tg119,
    "openkbp": figures.openkbp,
    "prostate-180": figures.many_beams,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=list(CASES), action="append", help="only this one; may be given again")
    parser.add_argument("--reuse-peer", action="store_true", help="take the peer's last run where there is one")
    chosen = parser.parse_args()
    console, began = Console(), monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{monotonic() - began:5.0f} s[/]  {text}", highlight=False)

    if os.getloadavg()[0] > BUSY:
        say(f"other programs are at work (load {os.getloadavg()[0]:.1f}): times will be too long, and unevenly so")
    names = chosen.case or [name for name in CASES if _has_data(name, say)]
    compared = [figure for name in names for figure in _compared(name, chosen.reuse_peer, say)]
    say("memory bandwidth and inner loops")
    bandwidth = bandwidth_gb_s()
    loops = rates.ours(bandwidth["read"])
    loops += [rates.peers(CASES[name](), bandwidth["read"]) for name in names]
    points = scaling.table(say)
    everything = [*compared, *figures.scaling(points)]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        json.dumps(
            {
                "date": datetime.now(UTC).isoformat(timespec="minutes"),
                "machine": {**machine_facts(), "load_at_the_end": os.getloadavg()[0]},
                "peer": {"name": "pyRadPlan 0.5.0", "blas_threads": 1, "reused": chosen.reuse_peer},
                "bandwidth_gb_s": bandwidth,
                "figures": [figure.as_json() for figure in everything],
                "inner_loops": rates.as_json(loops),
                "scaling": points,
            },
            indent=2,
        )
    )
    figures.show(everything, console)
    figures.show_scaling(points, console)
    rates.show(loops, bandwidth, console)
    say(f"also in {OUT}")


def _has_data(name: str, say: Callable[[str], None]) -> bool:
    """Whether a case can be made here; TG-119 always can, from the built-in phantom."""
    if name == "openkbp" and not (SHARED_DATA / "openkbp").is_dir():
        say(f"OpenKBP is left out: no patients at {SHARED_DATA / 'openkbp'}; set BEAMWRIGHT_SHARED_DATA")
        return False
    return True


def _compared(name: str, reuse: bool, say: Callable[[str], None]) -> Sequence[Figure]:
    case = CASES[name]()
    say(f"{name}: {case.source}")
    if not (reuse and peer.has_run(case)):
        peer.run(case, say)
    say(f"{name}: ours")
    measured: Measured = json.loads(child("tests.benchmarks.ours", name))
    return TOLD[name](case, peer.Peer.load(case), measured)


if __name__ == "__main__":
    main()
