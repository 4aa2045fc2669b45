"""DVH metrics as clinicians write them, and as the contract asks them.

The one idea: a metric is a short string (TG-263 / Mayo style) with exactly one meaning and one unit, and `parse_metric`
either understands it or says how to write it.

    D95%[Gy]  D0.03cc[Gy]  D2%[%]     dose to the hottest share; [%] is percent of the prescription
    V20Gy[%]  V12Gy[cc]  V95%[%]      volume that gets at least the dose; 95% is percent of the prescription
    CV15Gy[cc]  DC10cc[Gy]            spared volume; dose that the coldest volume stays below
    Mean[Gy]  Max[Gy]  Min[Gy]  Median[Gy]
    CI Paddick  CI RTOG  GI  R50  HI ICRU83  HI RTOG

Short forms ``Dmax Dmean Dmin D95 D0.03cc V20 V20Gy`` are read as the full ones above; a share below 1 needs its ``%``
or ``cc``, because ``D0.03`` is nearly always a forgotten ``cc``.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from bridge import model
from bridge.model import MetricKind, VolumeUnit

MAX_PLAUSIBLE_GY = 150.0
"""A plan-total dose above this was surely meant in cGy."""

EXAMPLES = (
    "D95%[Gy]", "D0.03cc[Gy]", "D2%[%]", "V20Gy[%]", "V12Gy[cc]", "V95%[%]", "CV15Gy[cc]", "DC10cc[Gy]",
    "Mean[Gy]", "Max[Gy]", "Min[Gy]", "Median[Gy]", "CI Paddick", "CI RTOG", "GI", "R50", "HI ICRU83", "HI RTOG",
)  # fmt: skip

_INDICES = {
    "CI Paddick": MetricKind.CONFORMITY_PADDICK,
    "CI RTOG": MetricKind.CONFORMITY_RTOG,
    "GI": MetricKind.GRADIENT_PADDICK,
    "R50": MetricKind.R50,
    "HI ICRU83": MetricKind.HOMOGENEITY_ICRU83,
    "HI RTOG": MetricKind.HOMOGENEITY_RTOG,
}
_NEEDS_BODY = frozenset(
    {MetricKind.CONFORMITY_PADDICK, MetricKind.CONFORMITY_RTOG, MetricKind.GRADIENT_PADDICK, MetricKind.R50}
)
_PLAIN = {"Mean": MetricKind.MEAN_DOSE, "Max": MetricKind.MAX_DOSE, "Min": MetricKind.MIN_DOSE, "Median": None}
_ALIASES = {"Dmax": "Max[Gy]", "Dmean": "Mean[Gy]", "Dmin": "Min[Gy]", "Mean": "Mean[Gy]", "Max": "Max[Gy]"}

_NUMBER = r"(?P<number>\d+(?:\.\d+)?)"
_DOSE_AT = re.compile(rf"(?P<letter>DC|D){_NUMBER}(?P<share>%|cc)?(?:\[(?P<unit>[^\]]*)\])?")
_VOLUME_AT = re.compile(rf"(?P<letter>CV|V){_NUMBER}(?P<share>%|Gy|cGy)?(?:\[(?P<unit>[^\]]*)\])?")
_PLAIN_DOSE = re.compile(r"(?P<word>Mean|Max|Min|Median)(?:\[(?P<unit>[^\]]*)\])")


class MetricError(ValueError):
    """A metric or goal that cannot be read; the message says how to write it."""


@dataclass(frozen=True)
class Metric:
    """One question about one structure's dose, with its unit."""

    text: str
    """Canonical spelling."""
    kind: MetricKind
    unit: str
    """``Gy``, ``%``, ``cc``, or empty for an index."""
    volume: float | None = None
    volume_unit: VolumeUnit | None = None
    dose: float | None = None
    dose_is_percent: bool = False
    """``dose`` is percent of the prescription, not Gy."""

    @property
    def percent_of_prescription(self) -> bool:
        """Whether the answer is a dose in percent of the prescription."""
        return self.unit == "%" and self.volume_unit_of_answer is None

    @property
    def volume_unit_of_answer(self) -> VolumeUnit | None:
        if self.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.VOLUME_BELOW_DOSE):
            return self.volume_unit
        return None

    @property
    def counts_isodose_in_body(self) -> bool:
        """Whether the prescription isodose outside the structure enters the answer."""
        return self.kind in _NEEDS_BODY

    def query(self, structure: str, prescription_gy: float, body: str | None = None) -> model.MetricQuery:
        """The contract's question; ``body`` is where the prescription isodose is counted (indices only)."""
        dose_gy = self.dose
        if self.dose is not None and self.dose_is_percent:
            dose_gy = prescription_gy * self.dose / 100.0
        if self.kind in _INDICES.values() and self.kind is not MetricKind.HOMOGENEITY_ICRU83:
            dose_gy = prescription_gy
        return model.MetricQuery(
            kind=self.kind,
            structure=structure,
            volume=self.volume,
            volume_unit=self.volume_unit,
            dose_gy=dose_gy,
            body=body if self.counts_isodose_in_body else None,
        )

    def value(self, answer_value: float, prescription_gy: float) -> float:
        """The contract's answer (Gy, percent of volume, cc, ratio) in this metric's own unit."""
        return 100.0 * answer_value / prescription_gy if self.percent_of_prescription else answer_value


@dataclass(frozen=True)
class GoalText:
    """A metric with its limit, e.g. ``D95%[Gy] >= 70``."""

    metric: Metric
    comparator: str
    """``<=`` or ``>=``."""
    limit: float


def parse_metric(text: str) -> Metric:
    """Read a metric string.

    Raises
    ------
    MetricError
        Not a metric, a share without the unit it needs, a unit it cannot have, or a dose that looks like cGy; the
        message names the nearest right form.
    """
    written = _ALIASES.get(text.strip(), text.strip())
    if written in _INDICES:
        return Metric(written, _INDICES[written], unit="")
    if match := _PLAIN_DOSE.fullmatch(written):
        return _plain_dose(text, match["word"], match["unit"])
    if match := _DOSE_AT.fullmatch(written):
        return _dose_at(text, match)
    if match := _VOLUME_AT.fullmatch(written):
        return _volume_at(text, match)
    raise MetricError(f"{text!r} is not a metric; {_nearest(text)}")


def parse_goal(text: str) -> GoalText:
    """Read a metric with its comparator and limit, e.g. ``SpinalCord``'s ``D0.03cc[Gy] <= 45``.

    Raises
    ------
    MetricError
        As `parse_metric`; also for a missing comparator, a limit that is no number, is negative, or looks like cGy.
    """
    match = re.fullmatch(r"\s*(?P<metric>.+?)\s*(?P<comparator><=|>=|<|>|=)\s*(?P<limit>\S+)\s*", text)
    if not match:
        raise MetricError(f"{text!r} is not a goal; write a metric, <= or >=, and a number, e.g. 'D95%[Gy] >= 70'.")
    if match["comparator"] not in ("<=", ">="):
        raise MetricError(f"{text!r} compares with {match['comparator']!r}; write <= or >=.")
    metric = parse_metric(match["metric"])
    try:
        limit = float(match["limit"])
    except ValueError:
        raise MetricError(
            f"{text!r}: the limit {match['limit']!r} is not a number; the unit stands in the metric's brackets."
        ) from None
    if not 0.0 <= limit < float("inf"):
        raise MetricError(f"{text!r}: the limit {limit:g} is not a number of at least 0.")
    if metric.unit == "Gy":
        check_gy(limit, text)
    if metric.volume_unit_of_answer is VolumeUnit.PERCENT and limit > 100.0:
        raise MetricError(f"{text!r}: {limit:g} % of a structure cannot be asked for; the limit is 0 to 100.")
    return GoalText(metric, match["comparator"], limit)


def check_gy(dose_gy: float, text: str) -> None:
    """Refuse a dose that was surely meant in cGy."""
    if dose_gy > MAX_PLAUSIBLE_GY:
        raise MetricError(f"{text!r}: {dose_gy:g} Gy looks like cGy; write Gy ({dose_gy / 100:g}).")


def _plain_dose(text: str, word: str, unit: str) -> Metric:
    unit = _dose_unit(text, unit)
    kind = _PLAIN[word]
    if kind is None:
        return Metric(f"D50%[{unit}]", MetricKind.DOSE_AT_VOLUME, unit, volume=50.0, volume_unit=VolumeUnit.PERCENT)
    return Metric(f"{word}[{unit}]", kind, unit)


def _dose_at(text: str, match: re.Match[str]) -> Metric:
    volume, share = float(match["number"]), match["share"] or "%"
    if match["share"] is None and volume < 1.0:
        written = f"{match['letter']}{match['number']}"
        raise MetricError(
            f"{text!r} does not say of what; write {written}cc[Gy] for cm³, or {written}%[Gy] for percent."
        )
    if share == "%" and volume > 100.0:
        raise MetricError(f"{text!r} asks for {volume:g} % of a structure; the share is 0 to 100 %.")
    unit = _dose_unit(text, match["unit"])
    kind = MetricKind.DOSE_AT_COLD_VOLUME if match["letter"] == "DC" else MetricKind.DOSE_AT_VOLUME
    volume_unit = VolumeUnit.PERCENT if share == "%" else VolumeUnit.CC
    return Metric(f"{match['letter']}{match['number']}{share}[{unit}]", kind, unit, volume, volume_unit)


def _volume_at(text: str, match: re.Match[str]) -> Metric:
    dose, share = float(match["number"]), match["share"] or "Gy"
    if share == "cGy":
        raise MetricError(f"{text!r} is in cGy; write Gy: {match['letter']}{dose / 100:g}Gy[{match['unit'] or '%'}].")
    if share == "Gy":
        check_gy(dose, text)
    unit = match["unit"] or "%"
    if unit not in ("%", "cc"):
        raise MetricError(f"{text!r} is a volume, so its unit is [%] or [cc], not [{unit}].")
    kind = MetricKind.VOLUME_BELOW_DOSE if match["letter"] == "CV" else MetricKind.VOLUME_AT_DOSE
    volume_unit = VolumeUnit.PERCENT if unit == "%" else VolumeUnit.CC
    canonical = f"{match['letter']}{match['number']}{share}[{unit}]"
    return Metric(canonical, kind, unit, volume_unit=volume_unit, dose=dose, dose_is_percent=share == "%")


def _dose_unit(text: str, unit: str | None) -> str:
    unit = unit or "Gy"
    if unit == "cGy":
        raise MetricError(f"{text!r} is in cGy; doses here are Gy: write [Gy] and divide the limit by 100.")
    if unit not in ("Gy", "%"):
        raise MetricError(f"{text!r} is a dose, so its unit is [Gy] or [%] (of the prescription), not [{unit}].")
    return unit


def _nearest(text: str) -> str:
    close = difflib.get_close_matches(text, [*EXAMPLES, *_ALIASES], n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"write one like {', '.join(map(repr, EXAMPLES[:6]))}."
