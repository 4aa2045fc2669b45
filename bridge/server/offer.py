"""What the schema says about each RPC, against what this server claims.

The one idea: profile, access and capability of an RPC stand in the schema as method options, so one table over all
services tells which RPCs a server answers, for whom, and which are UNIMPLEMENTED. PLANNER includes READER, AUTHOR
includes PLANNER.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from bridge.model import Access, Profile
from bridge.tps.v1 import options_pb2

INCLUDES: Mapping[Profile, Sequence[Profile]] = {
    Profile.AUTHOR: (Profile.AUTHOR, Profile.PLANNER, Profile.READER),
    Profile.PLANNER: (Profile.PLANNER, Profile.READER),
    Profile.READER: (Profile.READER,),
    Profile.VOLUME: (Profile.VOLUME,),
}


@dataclass(frozen=True)
class Offer:
    """One RPC at one server."""

    method: str
    """``Service/Method``, as audit and logs name it."""
    profile: Profile | None
    """None: part of every server."""
    access: Access
    """What the caller's token must allow."""
    capability: str
    """Empty: none needed."""
    claimed: bool
    """The server claims the profile."""


def offers(services: Sequence[ServiceDescriptor], profiles: frozenset[Profile]) -> Mapping[str, Offer]:
    """gRPC path -> what the server makes of it."""
    claimed = frozenset(included for profile in profiles for included in INCLUDES[profile])
    return {
        f"/{service.full_name}/{method.name}": _offer(service, method, claimed)
        for service in services
        for method in service.methods
    }


def _offer(service: ServiceDescriptor, method: MethodDescriptor, claimed: frozenset[Profile]) -> Offer:
    options = method.GetOptions()
    number = options.Extensions[options_pb2.profile]
    profile = Profile(number) if number else None
    return Offer(
        method=f"{service.name}/{method.name}",
        profile=profile,
        access=Access(options.Extensions[options_pb2.access]),
        capability=options.Extensions[options_pb2.capability],
        claimed=profile is None or profile in claimed,
    )
