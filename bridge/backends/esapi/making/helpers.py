"""Helper structures: CONTROL structures made of others by Eclipse's own set operations.

The one idea: what is clinical is only read. Where structures of both resolutions meet, the coarse ones are copied into
temporary structures that are converted and removed again; a helper that cannot be finished is removed as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bridge import errors, model
from bridge.backends.esapi.chart.chart import Chart, set_up
from bridge.backends.esapi.making import courses
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import translated
from bridge.backends.esapi.reach.undoing import undone_on_failure
from bridge.backends.esapi.reading import plans, structures
from bridge.model import DerivationKind, PlanState

CONTROL = "CONTROL"
LONGEST_MARGIN_MM = 50.0
"""What Eclipse takes in one call; longer margins are made in steps."""

_FROZEN = frozenset({PlanState.APPROVED, PlanState.TREATED, PlanState.RETIRED})
_FEWEST_SOURCES = {DerivationKind.INTERSECTION: 2, DerivationKind.DIFFERENCE: 2}

Segment = Any
"""A SegmentVolume, or None: nothing."""


def create(chart: Chart, label: str, derivation: model.Derivation) -> model.Structure:
    """Make a helper; it is kept inside the External, and may come out empty."""
    _require_label(chart, label)
    _require_sense(label, derivation)
    with translated(f"make structure {label!r}"):
        chart.look_anew()
        _require_open_set(chart)
        sources = [chart.structure(name) for name in derivation.sources]
        with _added(chart, label) as helper:
            with _at_one_resolution(chart, [*sources, chart.external()]) as (segments, is_fine):
                made = _intersection([_derived(derivation, segments[:-1]), segments[-1]])
                if made is not None:
                    _fill(helper, made, is_fine)
            name = chart.structure_name(helper)
            shown = structures.shown(chart, helper)
    chart.look_anew()
    chart.records.made_structures.add(name)
    return shown


def delete(chart: Chart, structure_name: str) -> None:
    """Remove a helper of the bridge's own that nothing uses."""
    with translated(f"delete structure {structure_name!r}"):
        chart.look_anew()
        structure = chart.structure(structure_name)
        if structure_name not in chart.records.made_structures:
            raise errors.NotWorkingCopy(f"structure {structure_name!r} was not made here, so it is not deleted here.")
        _require_open_set(chart)
        _require_unused(chart, structure, structure_name)
        if not chart.structure_set.CanRemoveStructure(structure):
            raise errors.TpsRefused(f"Eclipse does not let structure {structure_name!r} be removed.")
        chart.structure_set.RemoveStructure(structure)
        chart.look_anew()
        chart.records.made_structures.discard(structure_name)


# ------------------------------------------------------------------------------------------ what is refused


def _require_label(chart: Chart, label: str) -> None:
    courses.require_fitting(label, chart.site.max_structure_id_length, "a structure")
    if not label.startswith("z"):
        raise _bad_label(f"label {label!r}: a helper structure's label begins with 'z'.")


def _require_sense(label: str, derivation: model.Derivation) -> None:
    kind, count = derivation.kind, len(derivation.sources)
    fewest = _FEWEST_SOURCES.get(kind, 1)
    if count < fewest:
        raise errors.InvalidField(f"structure {label!r}: {kind.name} of {count} structures, needs at least {fewest}.")
    if kind is DerivationKind.RING and derivation.outer_mm <= derivation.inner_mm:
        raise errors.InvalidField(
            f"structure {label!r}: a ring from {derivation.inner_mm:g} to {derivation.outer_mm:g} mm has no width; "
            "outer_mm must be greater than inner_mm."
        )


def _require_open_set(chart: Chart) -> None:
    """Refuse to write to a structure set that an approved or treated plan stands on."""
    for plan in _plans_on_set(chart):
        state = plans.state(plan)
        if state in _FROZEN:
            raise errors.PlanNotEditable(
                f"plan {chart.plan_name(plan)!r} is {state.name.lower()} and uses this structure set, so no structure "
                "is added to it or taken from it. Plan without helpers, or let a person copy the structure set."
            )


def _require_unused(chart: Chart, structure: Any, structure_name: str) -> None:
    structure_id = access.get(structure, "Id")
    for plan in _plans_on_set(chart):
        name = chart.plan_name(plan)
        if any(access.get(each, "StructureId") == structure_id for each in set_up(plan, "Objectives")):
            raise errors.TpsRefused(
                f"objectives of plan {name!r} use structure {structure_name!r}; delete those first."
            )
        targets = [target.structure for target in chart.record(plan).targets]
        if access.get(plan, "TargetVolumeID") == structure_id or structure_name in targets:
            raise errors.TpsRefused(f"plan {name!r} is prescribed to structure {structure_name!r}; delete it first.")
        wanted = chart.record(plan).normalization
        if isinstance(wanted, model.CoverageNormalization) and wanted.structure == structure_name:
            raise errors.TpsRefused(
                f"plan {name!r} is normalised to structure {structure_name!r}; set another normalisation first."
            )


def _plans_on_set(chart: Chart) -> Iterator[Any]:
    """All plans of the patient that use the structure set, also those that are not offered."""
    for plan in chart.everywhere():
        if access.get(plan, "StructureSet") == chart.structure_set:
            yield plan


def _bad_label(sentence: str) -> errors.InvalidField:
    return errors.InvalidField(sentence, violations=(errors.FieldViolation("label", "choose another"),))


# ------------------------------------------------------------------------------------------ structures in Eclipse


@contextmanager
def _added(chart: Chart, label: str) -> Iterator[Any]:
    """A new, empty CONTROL structure; removed again if the block fails."""
    taken = {str(access.get(each, "Id")).casefold() for each in chart.structures()}
    if label.casefold() in taken:
        raise _bad_label(
            f"label {label!r} is the label of another structure already, as far as Eclipse tells them apart."
        )
    if not chart.structure_set.CanAddStructure(CONTROL, label):
        raise errors.TpsRefused(f"Eclipse does not let a structure {label!r} be added; choose another label.")
    structure = chart.structure_set.AddStructure(CONTROL, label)
    with undone_on_failure("the half-made structure", lambda: chart.structure_set.RemoveStructure(structure)):
        stored = str(access.get(structure, "Id"))
        if stored != label:
            raise errors.LimitExceeded(
                f"Eclipse stored the structure id {label!r} as {stored!r}; choose a shorter label.",
                metadata={"field": "label", "limit": str(len(stored))},
            )
        yield structure


@contextmanager
def _at_one_resolution(chart: Chart, sources: Sequence[Any]) -> Iterator[tuple[list[Segment], bool]]:
    """The segments of structures, all of high resolution if one of them is; and whether they are."""
    is_fine = any(access.get(each, "IsHighResolution") for each in sources)
    temporary: list[Any] = []
    try:
        segments = []
        for source in sources:
            if is_fine and not access.get(source, "IsHighResolution") and not structures.is_empty(source):
                source = _fine_copy(chart, source, temporary)
            segments.append(_segment(source))
        yield segments, is_fine
    finally:
        for structure in temporary:
            chart.structure_set.RemoveStructure(structure)


def _fine_copy(chart: Chart, source: Any, temporary: list[Any]) -> Any:
    copied = chart.structure_set.AddStructure(CONTROL, _free_id(chart))
    temporary.append(copied)
    access.put(copied, "SegmentVolume", _segment(source))
    copied.ConvertToHighResolution()
    return copied


def _free_id(chart: Chart) -> str:
    taken = {str(access.get(each, "Id")).casefold() for each in chart.structures()}
    return next(name for name in (f"zbw{number}" for number in range(1, len(taken) + 2)) if name not in taken)


def _fill(helper: Any, segment: Segment, is_fine: bool) -> None:
    if is_fine:
        helper.ConvertToHighResolution()
    access.put(helper, "SegmentVolume", segment)


def _segment(structure: Any) -> Segment:
    return None if structures.is_empty(structure) else access.get(structure, "SegmentVolume")


# ------------------------------------------------------------------------------------------ set operations


def _derived(derivation: model.Derivation, segments: Sequence[Segment]) -> Segment:
    inner_mm, outer_mm = derivation.inner_mm, derivation.outer_mm
    match derivation.kind:
        case DerivationKind.MARGIN:
            return _grown(_union(segments), outer_mm)
        case DerivationKind.RING:
            union = _union(segments)
            return _less(_grown(union, outer_mm), _grown(union, inner_mm))
        case DerivationKind.UNION:
            return _union(segments)
        case DerivationKind.INTERSECTION:
            return _intersection(segments)
        case DerivationKind.DIFFERENCE:
            return _less(segments[0], _grown(_union(segments[1:]), outer_mm))


def _union(segments: Sequence[Segment]) -> Segment:
    return _folded([each for each in segments if each is not None], lambda a, b: a.Or(b))


def _intersection(segments: Sequence[Segment]) -> Segment:
    return None if any(each is None for each in segments) else _folded(segments, lambda a, b: a.And(b))


def _less(first: Segment, second: Segment) -> Segment:
    return first if first is None or second is None else first.Sub(second)


def _grown(segment: Segment, margin_mm: float) -> Segment:
    """Grown by a margin, or shrunk by a negative one, in as few equal steps as Eclipse takes."""
    if segment is None or margin_mm == 0.0:
        return segment
    steps = math.ceil(abs(margin_mm) / LONGEST_MARGIN_MM)
    for _ in range(steps):
        segment = segment.Margin(margin_mm / steps)
    return segment


def _folded(segments: Sequence[Segment], join: Callable[[Segment, Segment], Segment]) -> Segment:
    joined: Segment = None
    for segment in segments:
        joined = segment if joined is None else join(joined, segment)
    return joined
