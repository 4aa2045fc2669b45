"""Patients that need no download: procedural anatomy, drawn from a seed.

``make_case("brain-srs", 3)`` is the same patient every time (on another machine, but for the last digits of rounding);
`cohort` lists the seeds of a study. Each case is built in a file of its own (`brain`, `headneck`, `pelvis`, `abdomen`,
`phantom`): shapes from `shapes`, painted and outlined on a `canvas`.
"""

from __future__ import annotations

from sim_tps.cases.catalogue import CASES, cohort, make_case

__all__ = ["CASES", "cohort", "make_case"]
