"""Reads clinical protocols: the packaged ones by name, a site's own by path; says file, line, value and fix on error.

The one idea: the YAML is composed to nodes first, so each key keeps its line; pydantic's complaints and our own checks
(undeclared structures, helpers out of order) are then told in the file's own terms, all at once.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from agent import knowledge
from agent.protocols.schema import TARGETS, ObjectiveRule, Protocol

Keys = tuple[str | int, ...]

NORMALISATION_WITHIN = 0.2
"""Share of the prescription: coverage points in use (D50 to D99) lie well inside; beyond it a digit is wrong."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a protocol file."""

    line: int
    field: str
    message: str


class ProtocolError(ValueError):
    """A protocol that cannot be used; ``problems`` holds every one found."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        lines = [f"{file}:{p.line}: {p.field + ': ' if p.field else ''}{p.message}" for p in problems]
        super().__init__("\n".join(lines))
        self.file = file
        self.problems = problems


@dataclass(frozen=True)
class LoadedProtocol:
    """A protocol and where it came from."""

    protocol: Protocol
    file: str
    sha256: str
    text: str
    """The YAML itself; a run keeps it, so that it can be repeated when the file is gone."""


def packaged() -> tuple[str, ...]:
    """Names of the protocols that come with the agent."""
    folder = resources.files("agent.protocols")
    return tuple(sorted(entry.name[: -len(".yaml")] for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load(name_or_path: str | Path) -> LoadedProtocol:
    """A packaged protocol by name (``hn-70-63-56``), or a site's own by the path of its YAML file."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise FileNotFoundError(f"no protocol file {str(path)!r}; packaged protocols are {', '.join(packaged())}.")
        return read(_decoded(path.read_bytes(), str(path)), str(path))
    if str(name_or_path) not in packaged():
        raise FileNotFoundError(
            f"no protocol {str(name_or_path)!r}; packaged ones are {', '.join(packaged())}; a file ends with .yaml."
        )
    text = resources.files("agent.protocols").joinpath(f"{name_or_path}.yaml").read_text(encoding="utf-8")
    return read(text, f"{name_or_path}.yaml")


def read(text: str, file: str) -> LoadedProtocol:
    """A protocol from its YAML text; ``file`` is how errors call it.

    Raises
    ------
    ProtocolError
        Naming file, line, value and fix of everything that is wrong.
    """
    data, lines = _compose(text, file)
    try:
        protocol = Protocol.model_validate(data)
    except ValidationError as error:
        raise ProtocolError(file, tuple(_problem(item, lines) for item in error.errors())) from None
    if problems := tuple(_inconsistencies(protocol, lines)):
        raise ProtocolError(file, problems)
    return LoadedProtocol(protocol, file, hashlib.sha256(text.encode()).hexdigest(), text)


def _inconsistencies(protocol: Protocol, lines: Mapping[Keys, int]) -> Iterator[Problem]:
    declared = {*protocol.structures, *protocol.helpers}
    for keys, name in protocol.references():
        if name not in declared:
            yield Problem(_line(keys, lines), _field(keys), _undeclared(name, declared))
    yield from _target_problems(protocol, lines)
    yield from _helper_problems(protocol, lines)
    yield from _rule_problems(protocol, lines)
    kinds = [rule.kind for rule in protocol.structures.values()]
    if kinds.count("external") != 1:
        message = f"{kinds.count('external')} structures have kind: external; exactly one must."
        yield Problem(_line(("structures",), lines), "structures", message)


def _target_problems(protocol: Protocol, lines: Mapping[Keys, int]) -> Iterator[Problem]:
    prescribed = set(protocol.prescription.targets_gy)
    for name in set(protocol.targets) ^ prescribed:
        what = "has kind: target but no dose" if name not in prescribed else "has a dose but not kind: target"
        yield Problem(_line(("prescription", "targets_gy"), lines), "prescription.targets_gy", f"{name!r} {what}.")
    point = protocol.normalise
    prescribed_gy = protocol.prescription.targets_gy.get(point.structure)
    if prescribed_gy is None:
        message = f"{point.structure!r} is not one of the prescribed targets."
        yield Problem(_line(("normalise",), lines), "normalise", message)
    elif abs(point.dose_gy / prescribed_gy - 1.0) > NORMALISATION_WITHIN:
        message = (
            f"{point.dose_gy:g} Gy is too far from the {prescribed_gy:g} Gy prescribed to {point.structure!r}; "
            f"write a dose within {100 * NORMALISATION_WITHIN:g} % of it."
        )
        yield Problem(_line(("normalise", "dose_gy"), lines), "normalise.dose_gy", message)


def _helper_problems(protocol: Protocol, lines: Mapping[Keys, int]) -> Iterator[Problem]:
    known = {*protocol.structures, TARGETS}
    for name, helper in protocol.helpers.items():
        for source in helper.sources:
            if source in protocol.helpers and source not in known:
                message = f"helper {name!r} is made from {source!r}, which comes after it; put {source!r} first."
                yield Problem(_line(("helpers", name), lines), f"helpers.{name}", message)
        if name in protocol.structures:
            message = f"{name!r} is declared under structures too; one of the two must go."
            yield Problem(_line(("helpers", name), lines), f"helpers.{name}", message)
        known.add(name)


def _rule_problems(protocol: Protocol, lines: Mapping[Keys, int]) -> Iterator[Problem]:
    names = set(protocol.objective_names())
    for index, ratio in enumerate(protocol.agent.ratios):
        for word, name in (("objective", ratio.objective), ("of", ratio.of)):
            if name not in names:
                keys: Keys = ("agent", "ratios", index, word)
                yield Problem(_line(keys, lines), _field(keys), f"no objective {name!r}; there are {sorted(names)}.")
    if protocol.fixed_set is not None:
        for index, value in enumerate(protocol.fixed_set.values):
            if value.objective not in names:
                keys = ("fixed_set", "values", index, "objective")
                message = f"no objective {value.objective!r}; there are {sorted(names)}."
                yield Problem(_line(keys, lines), _field(keys), message)
    yield from _objective_problems(protocol, lines)
    uppers = {rule.structure for rule in protocol.objectives if rule.type in ("upper", "max")}
    for index, chain in enumerate(protocol.agent.falling_doses):
        for name in chain:
            if name not in uppers:
                keys = ("agent", "falling_doses", index)
                yield Problem(_line(keys, lines), _field(keys), f"{name!r} has no upper objective.")


def _objective_problems(protocol: Protocol, lines: Mapping[Keys, int]) -> Iterator[Problem]:
    hot = protocol.plan.problem == "hot-fraction"
    stages = [stage.id for stage in protocol.stages]
    for index, rule in enumerate(protocol.objectives):
        keys: Keys = ("objectives", index)
        if (rule.type in ("hot", "hold")) != hot and not _is_upper_point(rule):
            message = f"type {rule.type!r} does not belong to plan.problem {protocol.plan.problem!r}."
            yield Problem(_line((*keys, "type"), lines), _field((*keys, "type")), message)
        if not hot and _is_upper_point(rule) and "volume_percent" in protocol.agent.may_change:
            message = "a hot of 100 % is an upper point here, whose volume_percent stays; take it out of may_change."
            yield Problem(_line(("agent", "may_change"), lines), "agent.may_change", message)
        if rule.stage is not None and rule.stage not in stages:
            message = f"no stage {rule.stage!r}; there are {stages or 'none'}."
            yield Problem(_line((*keys, "stage"), lines), _field((*keys, "stage")), message)
    if protocol.variant is not None and protocol.variant not in packaged():
        message = f"no packaged protocol {protocol.variant!r}; there are {', '.join(packaged())}."
        yield Problem(_line(("variant",), lines), "variant", message)
    if protocol.knowledge is not None and protocol.knowledge not in knowledge.packaged():
        message = f"no table {protocol.knowledge!r}; there are {', '.join(knowledge.packaged()) or 'none'}."
        yield Problem(_line(("knowledge",), lines), "knowledge", message)


def _is_upper_point(rule: ObjectiveRule) -> bool:
    """The excess over a dose in the whole structure: what an upper point at 0 % penalises too."""
    return rule.type == "hot" and rule.volume_percent == 100.0


def _undeclared(name: str, declared: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(declared), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"structure {name!r} is declared neither under structures nor under helpers.{hint}"


def _problem(item: Mapping[str, object], lines: Mapping[Keys, int]) -> Problem:
    keys: Keys = tuple(item["loc"])  # type: ignore[arg-type]
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = "this key is not known here; check its spelling and indentation"
    elif item["type"] == "missing":
        message = "this key is missing"
    elif not isinstance(item["input"], dict | list):
        message = f"{message} (found {item['input']!r})"
    return Problem(_line(keys, lines), _field(keys), message)


def _line(keys: Keys, lines: Mapping[Keys, int]) -> int:
    """The line of the deepest part of ``keys`` that the file has."""
    for length in range(len(keys), -1, -1):
        if keys[:length] in lines:
            return lines[keys[:length]]
    return 1


def _field(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.lstrip(".")


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8."
        raise ProtocolError(file, (Problem(line, "", message),)) from None


def _compose(text: str, file: str) -> tuple[object, dict[Keys, int]]:
    """The file's plain data, and the line of every key and item."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.reader.ReaderError as error:
        line, character = text.count("\n", 0, error.position) + 1, chr(error.character)
        message = f"the character {character!r} may not stand in YAML; delete it."
        raise ProtocolError(file, (Problem(line, "", message),)) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProtocolError(file, (Problem(line, "", f"not YAML: {error.problem}."),)) from None
    if not isinstance(node, yaml.MappingNode):
        raise ProtocolError(file, (Problem(1, "", "a protocol is a mapping that starts with 'id:'."),))
    lines: dict[Keys, int] = {(): 1}
    repeated = tuple(_mark(node, (), lines))
    if repeated:
        raise ProtocolError(file, repeated)
    return data, lines


def _mark(node: yaml.Node, keys: Keys, lines: dict[Keys, int]) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            path = (*keys, str(key_node.value))
            line = key_node.start_mark.line + 1
            if path in lines:
                yield Problem(line, _field(path), f"this key stands already in line {lines[path]}; one must go.")
            lines[path] = line
            yield from _mark(value_node, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            lines[(*keys, index)] = child.start_mark.line + 1
            yield from _mark(child, (*keys, index), lines)
