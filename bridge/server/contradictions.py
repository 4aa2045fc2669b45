"""What the fields of one object demand of each other, which no single field's options can say.

The one idea: one list of rules per kind of object; all that are broken are reported together.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge import model
from bridge.errors import FieldViolation, InvalidField

Broken = Iterator[tuple[str, str]]


def require_consistent(*given: tuple[model.ObjectiveSpec | model.Derivation, str]) -> None:
    """Raise `InvalidField` with every rule that one of the objects, each with the path it was given at, breaks."""
    violations = tuple(
        FieldViolation(f"{path}.{field}", rule)
        for value, path in given
        for field, rule in (_of_objective(value) if isinstance(value, model.ObjectiveSpec) else _of_derivation(value))
    )
    if violations:
        words = "; ".join(f"{violation.field} {violation.description}" for violation in violations)
        raise InvalidField(f"{words}.", violations=violations)


def _of_objective(spec: model.ObjectiveSpec) -> Broken:
    is_constraint = spec.role is model.ObjectiveRole.CONSTRAINT
    if is_constraint == (spec.priority is not None):
        yield "priority", "must be given for an objective and absent for a constraint"
    if is_constraint == (spec.relation is None):
        yield "relation", "must be given for a constraint and absent for an objective"
    for field, rule in _of_function(spec.function):
        yield f"function.{field}", rule


def _of_function(function: model.ObjectiveFunction) -> Broken:
    match function:
        case model.VendorFunction():
            yield "vendor_function", "can be read and deleted, not written"
        case model.Geud(a=0):
            yield "geud.a", "must not be 0, for which there is no gEUD"
        case model.DoseFallOff(high_gy, low_gy) if low_gy > high_gy:
            yield "dose_fall_off.low_gy", f"is {low_gy:g}, must be at most high_gy, which is {high_gy:g}"
        case model.NormalTissueFalloff():
            numbers = (function.distance_mm, function.start_percent, function.end_percent, function.fall_off_per_mm)
            if function.automatic and any(number is not None for number in numbers):
                yield "normal_tissue_falloff", "takes no numbers when it is automatic: the server chooses them"
            if not function.automatic and None in numbers:
                yield "normal_tissue_falloff", "takes all four numbers unless it is automatic"


def _of_derivation(derivation: model.Derivation) -> Broken:
    kind = derivation.kind
    if kind is model.DerivationKind.RING and derivation.outer_mm <= derivation.inner_mm:
        yield "outer_mm", f"is {derivation.outer_mm:g}, must be greater than inner_mm, {derivation.inner_mm:g}"
    if kind is not model.DerivationKind.RING and derivation.inner_mm != 0:
        yield "inner_mm", f"is {derivation.inner_mm:g}, but only a ring has an inner distance"
    if kind in (model.DerivationKind.UNION, model.DerivationKind.INTERSECTION) and derivation.outer_mm != 0:
        yield "outer_mm", f"is {derivation.outer_mm:g}, but a {kind.name} has no distance"
    if kind is model.DerivationKind.DIFFERENCE and len(derivation.sources) < 2:
        yield "sources", "must name what is kept, and then what is taken away"
