"""The wire and the model say the same: everything that goes out comes back as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import convert, errors, model
from bridge.tps.v1 import objective_pb2, plan_pb2, session_pb2, volume_pb2

NOUNS = sorted(name.removesuffix("_to_wire") for name in dir(convert) if name.endswith("_to_wire"))
WORDS = {"session_mode": model.SessionMode, "cancel_outcome": model.CancelOutcome}
"""Those of them that are enums."""

VOLUME_KINDS = {model.MetricKind.DOSE_AT_VOLUME, model.MetricKind.DOSE_AT_COLD_VOLUME}
DOSE_KINDS = {model.MetricKind.VOLUME_AT_DOSE, model.MetricKind.VOLUME_BELOW_DOSE}
ISODOSE_KINDS = {
    model.MetricKind.CONFORMITY_PADDICK,
    model.MetricKind.CONFORMITY_RTOG,
    model.MetricKind.GRADIENT_PADDICK,
    model.MetricKind.R50,
}
REFERENCE_KINDS = ISODOSE_KINDS | {model.MetricKind.HOMOGENEITY_RTOG}

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS: Mapping[Any, st.SearchStrategy[Any]] = {
    float: FINITE,
    int: st.integers(-(2**31), 2**31 - 1),
    str: st.text(max_size=8),
    bool: st.booleans(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    NoneType: st.none(),
}


def model_type(noun: str) -> Any:
    return getattr(model, noun.title().replace("_", ""))


def objects(hint: Any) -> st.SearchStrategy[Any]:
    """Every object that a type hint of the model allows."""
    arguments = get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if hint is model.MetricQuery:
        return st.sampled_from(model.MetricKind).flatmap(queries)
    if hint is model.BeamSpec:
        return st.one_of(beams(isocentre_mm=st.none()), beams(isocentre_structure=st.none())).filter(
            lambda beam: beam.isocentre_mm or beam.isocentre_structure is not None
        )
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if dataclasses.is_dataclass(hint):
        return st.builds(hint, **{name: objects(each) for name, each in get_type_hints(hint).items()})
    if get_origin(hint) in (Union, UnionType):
        return st.one_of(*map(objects, arguments))
    if get_origin(hint) is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(objects, arguments))
    if get_origin(hint) in (tuple, frozenset):
        return st.lists(objects(arguments[0]), max_size=3).map(get_origin(hint))
    if get_origin(hint) is np.ndarray:
        return st.lists(FINITE, max_size=4).map(lambda values: np.array(values, dtype=np.float64))
    return st.dictionaries(st.text(max_size=8), objects(arguments[1]), max_size=3)


def beams(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[model.BeamSpec]:
    hints = get_type_hints(model.BeamSpec)
    return st.builds(model.BeamSpec, **({name: objects(hint) for name, hint in hints.items()} | fixed))


def queries(kind: model.MetricKind) -> st.SearchStrategy[model.MetricQuery]:
    """Questions with exactly the values that their kind takes."""
    takes_dose = kind in DOSE_KINDS | REFERENCE_KINDS
    return st.builds(
        model.MetricQuery,
        kind=st.just(kind),
        structure=st.none() if kind is model.MetricKind.PLAN_MAX_DOSE else st.text(max_size=8),
        volume=FINITE if kind in VOLUME_KINDS else st.none(),
        volume_unit=st.sampled_from(model.VolumeUnit) if kind in VOLUME_KINDS | DOSE_KINDS else st.none(),
        dose_gy=FINITE if takes_dose else st.none(),
        body=st.none() | st.text(max_size=8) if kind in ISODOSE_KINDS else st.none(),
    )


@pytest.mark.parametrize("noun", NOUNS)
@settings(deadline=None, max_examples=25, derandomize=True)
@given(data=st.data())
def test_round_trip(noun: str, data: st.DataObject) -> None:
    """Every noun survives the way model -> message -> bytes -> message -> model."""
    there, back = getattr(convert, f"{noun}_to_wire"), getattr(convert, f"{noun}_from_wire")
    original = data.draw(objects(model_type(noun)))
    wire = there(original)
    returned = back(wire) if noun in WORDS else back(type(wire).FromString(wire.SerializeToString()))
    if isinstance(original, model.Dvh):
        np.testing.assert_equal(dataclasses.asdict(returned), dataclasses.asdict(original))
    else:
        assert returned == original


@pytest.mark.parametrize("function", get_args(model.ObjectiveFunction))
def test_objective_function_names_itself(function: type) -> None:
    """Each class of objective function is the oneof's field of its own name."""
    names = {field.message_type.name for field in objective_pb2.ObjectiveFunction.DESCRIPTOR.fields}
    assert function.__name__ in names


def test_unspecified_is_refused_with_its_field() -> None:
    """An enum that was left out is a violation that names the field and what would do."""
    wire = plan_pb2.Plan(name="patients/1/plans/1")
    with pytest.raises(errors.InvalidField) as refusal:
        convert.plan_from_wire(wire, "plan")
    (violation,) = refusal.value.violations
    assert violation.field == "plan.state"
    assert "EDITABLE" in violation.description


def test_unknown_word_is_refused() -> None:
    """A number from a newer version of the contract is not taken for another word."""
    with pytest.raises(errors.InvalidField, match="is 99"):
        convert.session_mode_from_wire(99, "mode")
    with pytest.raises(errors.InvalidField):
        convert.session_mode_from_wire(session_pb2.SESSION_MODE_UNSPECIFIED, "mode")


def test_missing_function_is_refused() -> None:
    """An objective without a function is a violation below its own path."""
    wire = objective_pb2.ObjectiveSpec(structure="patients/1/structures/1", role=1)
    with pytest.raises(errors.InvalidField) as refusal:
        convert.objective_spec_from_wire(wire, "specs[2]")
    assert refusal.value.violations[0].field == "specs[2].function"


def test_missing_normalization_is_not_none() -> None:
    """A plan whose normalisation was left out is refused, not taken for one without."""
    wire = plan_pb2.Plan(state=plan_pb2.PLAN_STATE_EDITABLE, technique=plan_pb2.TECHNIQUE_IMRT)
    with pytest.raises(errors.InvalidField) as refusal:
        convert.plan_from_wire(wire, "plan")
    assert refusal.value.violations[0].field == "plan.normalization"


def test_two_isocentres_are_refused() -> None:
    """Of two values that exclude each other none is silently dropped."""
    beam = model.BeamSpec(0.0, isocentre_mm=(0.0, 0.0, 0.0), isocentre_structure="patients/1/structures/1")
    spec = model.PlanSpec("plan", model.Prescription(1, ()), (beam,))
    with pytest.raises(errors.InvalidField, match="isocentre"):
        convert.plan_spec_to_wire(spec)


@pytest.mark.parametrize(
    "query",
    [
        model.MetricQuery(model.MetricKind.MEAN_DOSE, "s", dose_gy=1.0),
        model.MetricQuery(model.MetricKind.MEAN_DOSE),
        model.MetricQuery(model.MetricKind.DOSE_AT_VOLUME, "s", volume=95.0),
        model.MetricQuery(model.MetricKind.VOLUME_AT_DOSE, "s", volume_unit=model.VolumeUnit.CC),
        model.MetricQuery(model.MetricKind.R50, "s"),
    ],
)
def test_a_question_has_what_its_kind_needs_and_no_more(query: model.MetricQuery) -> None:
    """A question with a value too few or too many is refused before it is sent."""
    with pytest.raises(errors.InvalidField):
        convert.metric_query_to_wire(query)


def test_naive_time_is_refused() -> None:
    """A time without a zone is not taken for UTC."""
    naive = datetime(2026, 1, 1)
    with pytest.raises(errors.InvalidField, match="time zone"):
        convert.snapshot_to_wire(model.Snapshot("n", "p", "l", naive, "e"))


# ------------------------------------------------------------------------------------------ rules between fields

TUMOUR = "patients/1/structures/1"
FREE = model.NormalTissueFalloff(False, 3.0, 105.0, 60.0, 0.05)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (model.ObjectiveSpec(TUMOUR, model.MaxDose(50.0), None), ["priority"]),
        (
            model.ObjectiveSpec(TUMOUR, model.MaxDose(50.0), 1.0, model.ObjectiveRole.CONSTRAINT),
            ["priority", "relation"],
        ),
        (model.ObjectiveSpec(TUMOUR, model.MaxDose(50.0), 1.0, relation=model.Relation.EQUAL), ["relation"]),
        (model.ObjectiveSpec(TUMOUR, model.Geud(model.Bound.UPPER, 20.0, 0.0), 1.0), ["function.geud.a"]),
        (model.ObjectiveSpec(TUMOUR, model.VendorFunction("x", "y"), 1.0), ["function"]),
        (model.ObjectiveSpec(TUMOUR, model.DoseFallOff(20.0, 30.0, 10.0), 1.0), ["function.dose_fall_off.low_gy"]),
        (
            model.ObjectiveSpec(TUMOUR, dataclasses.replace(FREE, distance_mm=None), 1.0),
            ["function.normal_tissue_falloff.distance_mm"],
        ),
        (
            model.ObjectiveSpec(TUMOUR, model.NormalTissueFalloff(True, distance_mm=3.0), 1.0),
            ["function.normal_tissue_falloff.distance_mm"],
        ),
        (model.Derivation(model.DerivationKind.RING, (TUMOUR,), 5.0, 5.0), ["outer_mm"]),
        (model.Derivation(model.DerivationKind.MARGIN, (TUMOUR,), 5.0, 5.0), ["inner_mm"]),
        (model.Derivation(model.DerivationKind.UNION, (TUMOUR,), 0.0, 5.0), ["outer_mm"]),
        (model.Derivation(model.DerivationKind.DIFFERENCE, (TUMOUR,)), ["sources"]),
    ],
)
def test_fields_that_contradict_each_other_are_all_named(value: object, fields: list[str]) -> None:
    """Every contradiction between fields is refused, each with the path of its field."""
    with pytest.raises(errors.InvalidField) as refusal:
        convert.check(value, "spec")
    found = [violation.field for violation in refusal.value.violations]
    assert found == [f"spec.{field}" for field in fields]


@pytest.mark.parametrize(
    "value",
    [
        model.ObjectiveSpec(TUMOUR, FREE, 1.0),
        model.ObjectiveSpec(
            TUMOUR, model.MinDose(50.0), None, model.ObjectiveRole.CONSTRAINT, model.Relation.GREATER_OR_EQUAL
        ),
        model.Derivation(model.DerivationKind.RING, (TUMOUR,), 5.0, 15.0),
        model.OptimizeSpec(),
    ],
)
def test_fields_that_agree_pass(value: object) -> None:
    """What a planner ordinarily asks for is not refused."""
    convert.check(value, "spec")


# ------------------------------------------------------------------------------------------ volumes

GRID = model.Grid((0.0, 0.0, 0.0), (2.5, 2.5, 3.0), (50, 40, 60))
UNIT = volume_pb2.VOXEL_UNIT_GY


def dose_volume() -> model.Volume:
    values = np.random.default_rng(1).uniform(0.0, 70.0, GRID.size[::-1]).astype(np.float32)
    return model.Volume(GRID, values, model.DoseInfo(model.DoseKind.FINAL, plan_etag="e"))


def joined(header: volume_pb2.VolumeHeader, data: bytes, **request: Any) -> bytes:
    chunks = convert.volume_chunks(header, data, volume_pb2.VolumeRequest(**request))
    return b"".join(chunk.data for chunk in chunks)


def test_float_volume_is_exact() -> None:
    """FLOAT32_LE carries the very voxels, x fastest, in chunks of at most 256 KiB."""
    volume = dose_volume()
    header, data = convert.encode_volume(volume, UNIT)
    chunks = list(convert.volume_chunks(header, data, volume_pb2.VolumeRequest()))
    assert len(chunks) > 1
    assert max(len(chunk.data) for chunk in chunks) <= 256 * 1024
    received = np.frombuffer(b"".join(chunk.data for chunk in chunks), "<f4").reshape(volume.values.shape)
    np.testing.assert_array_equal(received, volume.values)
    assert convert.dose_info_from_wire(header.dose) == volume.dose


def test_scaled_volume_is_within_half_a_step() -> None:
    """UINT16_SCALED_LE is at most half of its step away from the truth."""
    volume = dose_volume()
    header, data = convert.encode_volume(volume, UNIT, volume_pb2.VOLUME_ENCODING_UINT16_SCALED_LE)
    stored = np.frombuffer(joined(header, data), "<u2").reshape(volume.values.shape)
    values = header.intercept + header.scale * stored
    assert np.abs(values - volume.values).max() <= 0.501 * header.scale
    assert header.scale < 70.0 / 65000


def test_uniform_volume_can_be_scaled() -> None:
    """A volume of one value only, such as an empty mask, keeps that value."""
    volume = model.Volume(GRID, np.full(GRID.size[::-1], 0.25, np.float32))
    header, data = convert.encode_volume(volume, UNIT, volume_pb2.VOLUME_ENCODING_UINT16_SCALED_LE)
    assert set(joined(header, data)) == {0}
    assert header.intercept == 0.25


def test_broken_stream_goes_on() -> None:
    """Two halves of a stream, the second asked for by offset and etag, are the whole."""
    header, data = convert.encode_volume(dose_volume(), UNIT)
    middle = len(data) // 8 * 4
    assert data[:middle] + joined(header, data, start_offset_bytes=middle, etag=header.etag) == data


def test_other_voxels_cannot_be_gone_on_with() -> None:
    """A stream of a dose that changed meanwhile starts again, instead of joining two doses."""
    header, data = convert.encode_volume(dose_volume(), UNIT)
    with pytest.raises(errors.EtagMismatch):
        joined(header, data, start_offset_bytes=4, etag="another")


@pytest.mark.parametrize("request_", [{"start_offset_bytes": 4}, {"start_offset_bytes": 3, "etag": "x"}])
def test_start_that_makes_no_sense_is_refused(request_: dict[str, Any]) -> None:
    """A resumed stream must name its etag and begin at a whole value."""
    header, data = convert.encode_volume(dose_volume(), UNIT)
    with pytest.raises(errors.InvalidField):
        joined(header, data, **request_)


def test_nan_is_not_streamed() -> None:
    """Voxels that are not numbers are damage, not data."""
    volume = model.Volume(GRID, np.full(GRID.size[::-1], np.nan, np.float32))
    with pytest.raises(errors.DataDamaged):
        convert.encode_volume(volume, UNIT)
