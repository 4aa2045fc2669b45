"""Eight callers at a server whose ESAPI thread is blocked: how long does each wait for an answer?

The one idea: an emulated optimisation blocks the ESAPI thread for seconds, and meanwhile eight callers, each on a
connection of its own, ask one question after another without a pause. Nothing that they ask needs the ESAPI thread.
The callers live in another process than the server; both share this machine's cores with the optimiser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bridge.client import AsyncClient, connect_async

CALLERS = 8
CALLS = 10_000
AIM_MS = 50.0

Question = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Answers:
    """How long each call took, by what was asked."""

    ms: Mapping[str, Sequence[float]]
    seconds: float
    blocked: bool
    """The optimisation still ran when the last call was answered."""

    @property
    def worst_ms(self) -> float:
        return max(max(times) for times in self.ms.values())

    def figures(self) -> dict[str, object]:
        return {
            "calls": sum(len(times) for times in self.ms.values()),
            "seconds": round(self.seconds, 2),
            "optimisation_ran_throughout": self.blocked,
            "worst_ms": round(self.worst_ms, 2),
            "by_question": {
                asked: {
                    "calls": len(times),
                    "median_ms": round(float(np.median(times)), 2),
                    "p99_ms": round(float(np.percentile(times, 99)), 2),
                    "worst_ms": round(max(times), 2),
                }
                for asked, times in self.ms.items()
            },
        }


async def ask(endpoint: str, token: str, operation: str, plan: str, calls: int = CALLS) -> Answers:
    """Put ``calls`` questions from eight callers while ``operation`` runs on ``plan``."""
    ms: dict[str, list[float]] = {}
    clients = [await connect_async(endpoint, token) for _ in range(CALLERS)]
    channels = [grpc.aio.insecure_channel(endpoint) for _ in range(CALLERS)]
    try:
        began = perf_counter()
        callers = [
            _caller(_questions(client, channel, token, operation, plan), calls // CALLERS, ms)
            for client, channel in zip(clients, channels, strict=True)
        ]
        await asyncio.gather(*callers)
        seconds = perf_counter() - began
        ended = (await clients[0].operation(operation)).state.ended
    finally:
        await asyncio.gather(*(client.close() for client in clients), *(channel.close() for channel in channels))
    return Answers(ms, seconds, not ended)


async def _caller(questions: Mapping[str, Question], calls: int, ms: dict[str, list[float]]) -> None:
    asked = list(questions)
    for number in range(calls):
        name = asked[number % len(asked)]
        began = perf_counter()
        await questions[name]()
        ms.setdefault(name, []).append(1000.0 * (perf_counter() - began))


def _questions(
    client: AsyncClient, channel: grpc.aio.Channel, token: str, operation: str, plan: str
) -> dict[str, Question]:
    """What is asked in turn: the health service, the operation, and what was read of the plan before."""
    health = health_pb2_grpc.HealthStub(channel)
    metadata = (("authorization", f"Bearer {token}"),)
    return {
        "health": lambda: health.Check(health_pb2.HealthCheckRequest(), metadata=metadata),
        "operation": lambda: client.operation(operation),
        "plan, from memory": lambda: client.plan(plan),
        "objectives, from memory": lambda: client.objectives(plan),
    }


def as_it_should_be(answers: Answers) -> list[str]:
    """What is wrong with these answers, as sentences."""
    wrong = []
    if not answers.blocked:
        wrong.append("the optimisation ended before the calls did, so that they were not all put to a blocked thread")
    if answers.worst_ms > AIM_MS:
        wrong.append(f"the slowest answer took {answers.worst_ms:.1f} ms; the aim is {AIM_MS:g} ms")
    return wrong
