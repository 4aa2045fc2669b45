"""The figures that are compared, by name, and how they are shown.

A ratio is peer ÷ ours, above 1 is better, memory too. An exponent has no peer: it is held against its aim alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.benchmarks.cases import Case
from tests.benchmarks.peer import Peer
from tests.benchmarks.scaling import Point, exponents

Measured = Mapping[str, float | None]

LARGEST_EXPONENT = 1.05


@dataclass(frozen=True)
class Figure:
    """One number of ours beside the peer's."""

    name: str
    unit: str
    ours: float | None
    """None: not reached; ``conditions`` says by how much."""
    peer: float | None
    aim: float | None
    """The smallest ratio wanted, or the largest exponent; None where a figure is only told."""
    conditions: str

    @property
    def ratio(self) -> float | None:
        return None if self.ours is None or self.peer is None else self.peer / self.ours

    @property
    def reached(self) -> bool | None:
        if self.aim is None:
            return None
        if self.unit == "exponent":
            return self.ours is not None and self.ours <= self.aim
        return self.ratio is not None and self.ratio >= self.aim

    def as_json(self) -> dict[str, object]:
        return {**vars(self), "ratio": self.ratio, "reached": self.reached}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Both engines' measurements of one case, as figures."""

    label: str
    case: Case
    peer: Peer
    ours: Measured

    def set_up(self, aim: float | None = None) -> Figure:
        peer = self.peer.seconds("stf") + self.peer.seconds("dij")
        return self._figure("set-up", "s", self.ours["set_up_s"], peer, aim, "to the first objective value | stf + dij")

    def plan(self, aim: float | None = None) -> Figure:
        """From the CT to a plan and its dose."""
        parts = [self.ours[part] for part in ("set_up_s", "objectives_s", "dose_s")]
        ours = None if None in parts else sum(part for part in parts if part is not None)
        peer = sum(self.peer.seconds(part) for part in ("stf", "dij", "objectives", "dose"))
        return self._figure("CT to plan", "s", ours, peer, aim, "set-up, optimisation, dose")

    def memory(self, aim: float | None = None) -> list[Figure]:
        how = "highest resident memory above the interpreter with its imports"
        ours, with_dose = self.ours["peak_mib"], self.ours["peak_with_dose_mib"]
        peer, peer_with_dose = self.peer.mebibytes("peak"), self.peer.mebibytes("peak_with_dose")
        return [
            self._figure("memory", "MiB", ours, peer, aim, f"{how}, to the end of the optimisation"),
            self._figure("memory with dose", "MiB", with_dose, peer_with_dose, None, f"{how}, to the plan's dose"),
        ]

    def optimisation(self, what: str, name: str, aim: float | None = None) -> list[Figure]:
        """Time to an equally good plan; then, to be fair, the peer's by the same measure, and both to their own end."""
        ours, found, end = (self.ours[f"{name}_{key}"] for key in ("s", "converged", "converged_s"))
        final, whole, early = self.peer.final(name), self.peer.seconds(name), self.peer.seconds_within(name)
        judged = f"peer's objective of its plan {final:.2f}, of ours at our end {found:.2f}"
        iterations = self.ours[f"{name}_iterations"] or self.ours[f"{name}_converged_iterations"]
        until = f"until within 1 % of the peer's final objective, ours after {iterations:.0f} iterations"
        return [
            self._figure(what, "s", ours, whole, aim, f"{until} | its whole run; {judged}"),
            self._figure(f"{what}, peer to 1 % too", "s", ours, early, None, f"both {until}"),
            self._figure(f"{what}, both to their end", "s", end, whole, None, f"each by its own criterion; {judged}"),
        ]

    def _figure(self, what: str, unit: str, ours: float | None, peer: float, aim: float | None, how: str) -> Figure:
        grid = " × ".join(f"{side:g}" for side in self.case.dose_spacing_mm)
        capped = "" if self.case.peer_iterations == 500 else f", peer capped at {self.case.peer_iterations} iterations"
        where = f"{self.case.source}, {len(self.case.gantry_deg)} beams, {grid} mm{capped}"
        return Figure(f"{self.label} {what}", unit, ours, peer, aim, f"{where}; {how}")


def tg119(case: Case, peer: Peer, ours: Measured) -> list[Figure]:
    both = Comparison("TG-119", case, peer, ours)
    return [
        both.set_up(aim=50),
        *both.optimisation("optimisation", "objectives", aim=50),
        *both.optimisation("re-optimisation", "changed_objectives", aim=100),
        *both.memory(aim=10),
    ]


def openkbp(case: Case, peer: Peer, ours: Measured) -> list[Figure]:
    both = Comparison("OpenKBP", case, peer, ours)
    return [both.plan(aim=40), both.set_up(), *both.optimisation("optimisation", "objectives"), *both.memory()]


def many_beams(case: Case, peer: Peer, ours: Measured) -> list[Figure]:
    both = Comparison("180 beams", case, peer, ours)
    return [both.plan(aim=50), both.set_up(), *both.optimisation("optimisation", "objectives"), *both.memory(aim=20)]


def scaling(points: Sequence[Point]) -> list[Figure]:
    how = "built-in TG-119, least squares of log cost against log size"
    return [Figure(name, "exponent", slope, None, LARGEST_EXPONENT, how) for name, slope in exponents(points).items()]


def show(figures: Sequence[Figure], console: Console) -> None:
    table = Table(title="Ours and pyRadPlan, one after the other on this machine", caption="ratio = peer ÷ ours")
    table.add_column("figure")
    for heading in ("ours", "peer", "ratio", "aim", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for figure in figures:
        bound = "" if figure.aim is None else ("≤ " if figure.unit == "exponent" else "≥ ") + f"{figure.aim:g}"
        mark = {None: "", True: "[green]reached[/]", False: "[red]open[/]"}[figure.reached]
        numbers = (figure.ours, figure.peer, figure.ratio)
        table.add_row(f"{figure.name} ({figure.unit})", *(_number(number) for number in numbers), bound, mark)
    console.print(table)
    for figure in figures:
        if figure.aim is not None and figure.peer is not None:
            console.print(f"[dim]{figure.name}: {figure.conditions}[/]", highlight=False)


def show_scaling(points: Sequence[Point], console: Console) -> None:
    table = Table(title="Scaling of our engine, built-in TG-119")
    for key in points[0]:
        table.add_column(key.replace("_", " "), justify="right")
    for point in points:
        table.add_row(*(_number(value) for value in point.values()))
    console.print(table)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
