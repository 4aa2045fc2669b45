"""What the fields of a request demand of each other, which no single field's options can say.

A server checks a request from the schema's options first, makes the model object, and then asks here. All violations
are found, not only the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch

from bridge import model
from bridge.errors import FieldViolation, InvalidField

Violations = Iterator[tuple[str, str]]
"""Field below the object, and what is wrong with it."""


def check(value: object, path: str) -> None:
    """Refuse a request's object whose fields contradict each other.

    Raises
    ------
    InvalidField
        With every violation, each named by its field below ``path``.
    """
    violations = tuple(FieldViolation(f"{path}.{field}", text) for field, text in _violations(value))
    if violations:
        message = "; ".join(f"{violation.field} {violation.description}" for violation in violations)
        raise InvalidField(f"{message}.", violations=violations)


@singledispatch
def _violations(_value: object) -> Violations:
    """Objects without a rule of their own are right as they are."""
    return iter(())


@_violations.register
def _(spec: model.ObjectiveSpec) -> Violations:
    is_constraint = spec.role is model.ObjectiveRole.CONSTRAINT
    if is_constraint and spec.priority is not None:
        yield "priority", "is given, but a constraint has none; leave it out"
    if is_constraint and spec.relation is None:
        yield "relation", "is missing; a constraint needs one"
    if not is_constraint and spec.priority is None:
        yield "priority", "is missing; only a constraint has none"
    if not is_constraint and spec.relation is not None:
        yield "relation", "is given, but only a constraint has one; leave it out"
    yield from ((f"function{field}", text) for field, text in _violations(spec.function))


@_violations.register
def _(function: model.VendorFunction) -> Violations:
    yield "", f"is {function.kind!r}, a function of the TPS's own; it can be read and deleted, not written"


@_violations.register
def _(function: model.Geud) -> Violations:
    if function.a == 0:
        yield ".geud.a", "is 0, for which there is no gEUD; 1 is the mean"


@_violations.register
def _(function: model.DoseFallOff) -> Violations:
    if function.low_gy > function.high_gy:
        yield ".dose_fall_off.low_gy", f"is {function.low_gy}; give at most high_gy, {function.high_gy}"


@_violations.register
def _(function: model.NormalTissueFalloff) -> Violations:
    for field in ("distance_mm", "start_percent", "end_percent", "fall_off_per_mm"):
        given = getattr(function, field) is not None
        if given and function.automatic:
            yield f".normal_tissue_falloff.{field}", "is given; the server chooses it when automatic is set"
        if not given and not function.automatic:
            yield f".normal_tissue_falloff.{field}", "is missing; give it or set automatic"


@_violations.register
def _(derivation: model.Derivation) -> Violations:
    kind = model.DerivationKind
    if derivation.kind is kind.RING and derivation.outer_mm <= derivation.inner_mm:
        yield "outer_mm", f"is {derivation.outer_mm}; a ring ends beyond inner_mm, {derivation.inner_mm}"
    if derivation.kind is not kind.RING and derivation.inner_mm != 0:
        yield "inner_mm", f"is {derivation.inner_mm}; only a ring has an inner distance"
    if derivation.kind in (kind.UNION, kind.INTERSECTION) and derivation.outer_mm != 0:
        yield "outer_mm", f"is {derivation.outer_mm}; a {derivation.kind.name} has no distance"
    if derivation.kind is kind.DIFFERENCE and len(derivation.sources) < 2:
        yield "sources", "has one structure; name first what is kept, then what is taken away"
