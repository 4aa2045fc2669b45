"""What a protocol demands of a planning system, against what the system declares.

The one idea: every refusal that the capabilities foretell is made before anything is on the server, with the contract's
own reason CAPABILITY_MISSING, so that a person and a program can tell "this TPS cannot" from "this went wrong".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.preparation.matching import PreparationError
from agent.protocols.schema import Protocol
from bridge import errors, model

_OF_PROBLEM = {
    "quadratic-penalty": "optimize.problem.quadratic-penalty",
    "hot-fraction": "optimize.problem.hot-fraction",
}
_OF_TYPE: Mapping[str, str] = {
    "lower": "objective.dose-volume",
    "upper": "objective.dose-volume",
    "max": "objective.max-dose",
    "min": "objective.min-dose",
    "mean": "objective.mean",
}
"""Type of an objective in a protocol -> what the server must declare for it."""


class ServerLacks(PreparationError, errors.CapabilityMissing):
    """The protocol needs what this server does not declare: the refusal that the server itself would give."""

    def __init__(self, capability: str, sentence: str) -> None:
        errors.CapabilityMissing.__init__(
            self, f"{sentence} ({self.reason}: {capability})", metadata={"capability": capability}
        )


def declares(server: model.ServerInfo, capability: str) -> bool:
    """Whether the server says that it can do this."""
    return server.capabilities.get(capability, "NO") != "NO"


def check_server(protocol: Protocol, server: model.ServerInfo) -> None:
    """Refuse a server that cannot carry the protocol out, before anything is made on it.

    Raises
    ------
    ServerLacks
        Naming what is missing, and the protocol's declared variant where it has one.
    PreparationError
        A priority of the protocol is none of this server's.
    """
    _check_problem(protocol, server)
    for capability, needed_for in _demands(protocol):
        if not declares(server, capability):
            raise ServerLacks(
                capability,
                f"protocol {protocol.id!r} needs {needed_for}, and {server.tps_name!r} does not declare it. Use a "
                "protocol that does without there.",
            )
    _check_priorities(protocol, server.priority_scale)


def _check_problem(protocol: Protocol, server: model.ServerInfo) -> None:
    capability = _OF_PROBLEM[protocol.plan.problem]
    if declares(server, capability):
        return
    what = "the hot-fraction problem with hard coverage" if protocol.plan.problem == "hot-fraction" else (
        "the problem of quadratic penalties"
    )  # fmt: skip
    remedy = "Use a protocol of another problem there."
    if protocol.variant is not None:
        remedy = f"Its declared variant runs there: --protocol {protocol.variant}."
    raise ServerLacks(
        capability, f"protocol {protocol.id!r} needs {what}, and {server.tps_name!r} does not declare it. {remedy}"
    )


def _demands(protocol: Protocol) -> Iterator[tuple[str, str]]:
    """Every capability that each run of the protocol uses, and for what."""
    yield "normalization.coverage", "normalisation to a coverage, as each attempt ends with it"
    yield "snapshot.restore", "snapshots, as the best attempt is gone back to"
    is_hot = protocol.plan.problem == "hot-fraction"
    for rule, name in zip(protocol.objectives, protocol.objective_names(), strict=True):
        if rule.type == "hold":
            yield "objective.role.constraint", f"hard constraints (objective {name!r})"
            yield "objective.dose-volume", f"objective {name!r}"
        elif rule.type == "hot":
            yield "objective.hot-fraction" if is_hot else "objective.dose-volume", f"objective {name!r}"
        else:
            yield _OF_TYPE[rule.type], f"objective {name!r}"


def _check_priorities(protocol: Protocol, scale: model.PriorityScale) -> None:
    for rule, name in zip(protocol.objectives, protocol.objective_names(), strict=True):
        if rule.type == "hold":
            continue
        is_whole = not scale.integer or rule.priority == int(rule.priority)
        if not (is_whole and scale.minimum <= rule.priority <= scale.maximum):
            whole = "whole numbers " if scale.integer else ""
            raise PreparationError(
                f"objective {name!r} of protocol {protocol.id!r} has priority {rule.priority:g}, and this planning "
                f"system's are {whole}from {scale.minimum:g} to {scale.maximum:g}. Change it in a protocol of your own."
            )
