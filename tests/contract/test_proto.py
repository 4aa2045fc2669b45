"""The contract keeps its own promises, read from its descriptors."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

import bridge.tps.v1
from bridge import INTENDED_USE, errors, model
from bridge.backends.simulator.description import server_info
from bridge.tps.v1 import options_pb2

REPOSITORY = Path(__file__).resolve().parents[2]
SPECIFICATION = REPOSITORY / "proto" / "README.md"
WALK = REPOSITORY / "docs" / "decisions" / "0001-every-rpc-and-its-esapi-calls.md"

FILES = [
    importlib.import_module(f"bridge.tps.v1.{path.stem}").DESCRIPTOR
    for path in sorted(Path(bridge.tps.v1.__path__[0]).glob("*_pb2.py"))
]
MESSAGES = {name: message for file in FILES for name, message in file.message_types_by_name.items()}
ENUMS = {name: enum for file in FILES for name, enum in file.enum_types_by_name.items()}
METHODS = [method for file in FILES for service in file.services_by_name.values() for method in service.methods]
FIELDS = [field for message in MESSAGES.values() for field in message.fields]

NUMBERS = {
    FieldDescriptor.CPPTYPE_DOUBLE,
    FieldDescriptor.CPPTYPE_FLOAT,
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
}
VECTORS = {"Vector", "FieldSize"}
"""Messages that are several numbers of one unit."""

BOUNDS = (options_pb2.min, options_pb2.max, options_pb2.above, options_pb2.below)

SUFFIXES = {
    "_per_mm": options_pb2.UNIT_PER_MM,
    "_gy": options_pb2.UNIT_GY,
    "_percent": options_pb2.UNIT_PERCENT,
    "_cc": options_pb2.UNIT_CC,
    "_mm": options_pb2.UNIT_MM,
    "_deg": options_pb2.UNIT_DEG,
    "_mu": options_pb2.UNIT_MU,
    "_seconds": options_pb2.UNIT_S,
    "_s": options_pb2.UNIT_S,
    "_bytes": options_pb2.UNIT_BYTES,
}
"""Ending of a field's name -> its unit; the first that fits holds."""


def option(field: Any, name: Any) -> Any:
    return field.GetOptions().Extensions[name]


def is_number(field: FieldDescriptor) -> bool:
    return field.cpp_type in NUMBERS or (field.message_type is not None and field.message_type.name in VECTORS)


def reachable(message: Descriptor) -> Iterator[Descriptor]:
    """A message and everything inside it."""
    yield message
    for field in message.fields:
        if field.message_type is not None and field.message_type.file.package == "bridge.tps.v1":
            yield from reachable(field.message_type)


def access(method: MethodDescriptor) -> int:
    wanted: int = option(method, options_pb2.access)
    return wanted


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.full_name)
def test_unit_is_in_the_name(field: FieldDescriptor) -> None:
    """A number's name ends in the unit that its option says, and a name that ends in a unit has that option."""
    units = (unit for end, unit in SUFFIXES.items() if f"_{field.name}".endswith(end))
    expected = next(units, options_pb2.UNIT_UNSPECIFIED)
    assert option(field, options_pb2.unit) == (expected if is_number(field) else options_pb2.UNIT_UNSPECIFIED)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_numbers_of_requests_are_bounded(method: MethodDescriptor) -> None:
    """Every number that a caller can send has a bound in the schema; only coordinates have none."""
    unbounded = {
        field.full_name
        for message in reachable(method.input_type)
        if message.name != "Vector"
        for field in message.fields
        if field.cpp_type in NUMBERS and not any(field.GetOptions().HasExtension(bound) for bound in BOUNDS)
    }
    assert not unbounded


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_strings_of_requests_are_bounded(method: MethodDescriptor) -> None:
    """Every string that a caller can send has a form or a longest length."""
    unbounded = {
        field.full_name
        for message in reachable(method.input_type)
        for field in message.fields
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        and not option(field, options_pb2.format)
        and not option(field, options_pb2.max_length)
    }
    assert not unbounded


@pytest.mark.parametrize("field", [f for f in FIELDS if option(f, options_pb2.free_text)], ids=lambda f: f.full_name)
def test_free_text_is_capped(field: FieldDescriptor) -> None:
    """Free text has a length at which a server cuts it."""
    assert option(field, options_pb2.max_length) > 0


def test_what_the_contract_cannot_do() -> None:
    """No RPC approves, exports, runs a script, changes a machine or imports: absence can be read here."""
    forbidden = re.compile("Approve|Export|Run|Script|Execute|Import|Machine|Treat|Send")
    assert [method.name for method in METHODS if forbidden.search(method.name)] == ["ListMachines"]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_rpc_says_who_may_call_it(method: MethodDescriptor) -> None:
    """An RPC without an access option could be called by anybody."""
    assert access(method) != options_pb2.ACCESS_UNSPECIFIED


@pytest.mark.parametrize(
    "method",
    [method for method in METHODS if access(method) != options_pb2.ACCESS_READ],
    ids=lambda method: method.name,
)
def test_every_write_says_who_and_why(method: MethodDescriptor) -> None:
    """A write carries session, request id, validate_only and reason; cancelling, which may be repeated, does not."""
    write = method.input_type.fields_by_name.get("write")
    assert (write is None) == (method.name == "CancelOperation")
    if write is not None:
        assert option(write, options_pb2.required)
        assert {field.name for field in write.message_type.fields} == {
            "session",
            "request_id",
            "validate_only",
            "reason",
        }


@pytest.mark.parametrize(
    "method",
    [
        method
        for method in METHODS
        if "write" in method.input_type.fields_by_name
        and method.containing_service.name not in ("SessionService", "StructureService")
        and method.name not in ("CreatePlan", "CopyPlan")
    ],
    ids=lambda method: method.name,
)
def test_every_change_of_a_plan_names_its_etag(method: MethodDescriptor) -> None:
    """A write to a plan that is there says which state of it the caller saw."""
    assert option(method.input_type.fields_by_name["etag"], options_pb2.required)


@pytest.mark.parametrize(
    "method",
    [
        method
        for method in METHODS
        if "plan" in method.input_type.fields_by_name and access(method) == options_pb2.ACCESS_READ
    ],
    ids=lambda method: method.name,
)
def test_reads_see_a_sessions_own_work(method: MethodDescriptor) -> None:
    """Whoever reads a plan can name the session whose uncommitted work they want to see."""
    assert "session" in method.input_type.fields_by_name


MODEL_ENUMS = [kind for kind in vars(model).values() if isinstance(kind, type) and issubclass(kind, Enum)]


@pytest.mark.parametrize(
    "kind", [kind for kind in MODEL_ENUMS if kind not in (Enum, model.MetricKind)], ids=lambda kind: kind.__name__
)
def test_enums_have_the_same_words(kind: type[Enum]) -> None:
    """Model and wire count the same words in the same order."""
    enum = ENUMS[kind.__name__]
    prefix = re.sub("(?<!^)(?=[A-Z])", "_", kind.__name__).upper() + "_"
    wire = {value.name.removeprefix(prefix): value.number for value in enum.values}
    assert wire == {"UNSPECIFIED": 0} | {member.name: member.value for member in kind}


def test_metric_kinds_are_the_questions() -> None:
    """Each kind of metric is one question on the wire."""
    questions = {field.name for field in MESSAGES["MetricQuery"].fields}
    assert questions == {kind.name.lower() for kind in model.MetricKind}


NOT_MIRRORED = {"MetricQuery", "Volume", "AuditEntry"}
"""The first is a oneof on the wire, the second a stream, the third stays on the server."""

DATACLASSES = [kind for kind in vars(model).values() if dataclasses.is_dataclass(kind)]


@pytest.mark.parametrize(
    "kind", [kind for kind in DATACLASSES if kind.__name__ not in NOT_MIRRORED], ids=lambda kind: kind.__name__
)
def test_messages_have_the_same_fields(kind: Any) -> None:
    """A field that only the model or only the wire has would be lost on the way."""
    message = MESSAGES[kind.__name__]
    oneofs = [oneof for oneof in message.oneofs if oneof.name in kind.__dataclass_fields__]
    inside = {field.name for oneof in oneofs for field in oneof.fields}
    wire = ({field.name for field in message.fields} - inside) | {oneof.name for oneof in oneofs}
    assert wire == {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("path", sorted(SPECIFICATION.parent.rglob("*.proto")), ids=lambda path: path.name)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    """The intended use goes with a file that is handed on alone."""
    head, _ = path.read_text().split("syntax =", 1)
    assert f"// {INTENDED_USE}\n" in head


# ------------------------------------------------------------------------------------------ the specification


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_specification_tells_the_errors_of_every_rpc(method: MethodDescriptor) -> None:
    """The specification has a section for the RPC, with a table of what can go wrong."""
    section = re.search(rf"^#### {method.name}\n(.*?)(?=^##|\Z)", SPECIFICATION.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    assert "| Condition | Code | Reason | The caller |" in section[1]


def test_specification_uses_known_reasons_and_codes() -> None:
    """Every row of an error table names a reason and the code that goes with it, and every reason is explained."""
    rows = re.findall(r"^\|.*\| `?([A-Z_]+)`? \| `?([A-Z_]+)`? \|.*\|$", SPECIFICATION.read_text(), re.MULTILINE)
    codes = {reason: kind.status for reason, kind in errors.BY_REASON.items()}
    assert {(code, reason) for code, reason in rows} == {(code, reason) for reason, code in codes.items()}


def test_specification_lists_every_capability_that_an_rpc_needs() -> None:
    """A capability without which an RPC refuses is in the registry."""
    needed = {option(method, options_pb2.capability) for method in METHODS} - {""}
    assert needed
    assert all(f"| `{capability}` |" in SPECIFICATION.read_text() for capability in needed)


def test_simulator_declares_what_the_registry_knows() -> None:
    """Each capability of the simulator is in the registry, with a value that is listed there."""
    registry = dict(re.findall(r"^\| `([a-z.-]+)` \| ([A-Z_, ]+) \|", SPECIFICATION.read_text(), re.MULTILINE))
    declared = server_info().capabilities
    unknown = {name: value for name, value in declared.items() if value not in registry.get(name, "").split(", ")}
    assert not unknown


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_rpc_was_walked_through_its_esapi_calls(method: MethodDescriptor) -> None:
    """An RPC that nobody walked through the calls of a real TPS is a promise that may not be kept."""
    assert re.search(rf"\b{method.name}\b", WALK.read_text())
