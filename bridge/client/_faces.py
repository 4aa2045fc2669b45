"""The blocking client: every method is the asynchronous one, waited for."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from bridge.client._blocking import A, Facade, blocking, blocking_context, blocking_iterator
from bridge.client._client import DEADLINE_S, AsyncClient, connect_async
from bridge.client._reads import AsyncReads
from bridge.client._session import AsyncSession
from bridge.client._wire import Retry, Tls
from bridge.loop_thread import LoopThread


class Reads(Facade[A]):
    """Questions; nothing here changes anything, but for `cancel`."""

    server_info = blocking(AsyncReads.server_info)
    machines = blocking(AsyncReads.machines)
    patients = blocking(AsyncReads.patients)
    plans = blocking(AsyncReads.plans)
    plan = blocking(AsyncReads.plan)
    beams = blocking(AsyncReads.beams)
    structures = blocking(AsyncReads.structures)
    objectives = blocking(AsyncReads.objectives)
    dose_info = blocking(AsyncReads.dose_info)
    dvh = blocking(AsyncReads.dvh)
    evaluate = blocking(AsyncReads.evaluate)
    image = blocking(AsyncReads.image)
    dose = blocking(AsyncReads.dose)
    mask = blocking(AsyncReads.mask)
    operation = blocking(AsyncReads.operation)
    operations = blocking(AsyncReads.operations)
    watch = blocking_iterator(AsyncReads.watch)
    cancel = blocking(AsyncReads.cancel)


class Session(Reads[AsyncSession]):
    """An open session; made by `Client.session`.

    Every write takes a ``reason``, in the caller's words, for the audit trail. Callbacks run in the caller's thread.
    """

    @property
    def name(self) -> str:
        return self._behind.name

    @property
    def patient(self) -> str:
        return self._behind.patient

    create_plan = blocking(AsyncSession.create_plan)
    copy_plan = blocking(AsyncSession.copy_plan)
    delete_plan = blocking(AsyncSession.delete_plan)
    set_normalization = blocking(AsyncSession.set_normalization)
    create_snapshot = blocking(AsyncSession.create_snapshot)
    snapshots = blocking(AsyncSession.snapshots)
    restore_snapshot = blocking(AsyncSession.restore_snapshot)
    create_structure = blocking(AsyncSession.create_structure)
    delete_structure = blocking(AsyncSession.delete_structure)
    replace_objectives = blocking(AsyncSession.replace_objectives)
    create_objective = blocking(AsyncSession.create_objective)
    update_objective = blocking(AsyncSession.update_objective)
    set_priority = blocking(AsyncSession.set_priority)
    delete_objective = blocking(AsyncSession.delete_objective)
    evaluate_objectives = blocking(AsyncSession.evaluate_objectives)
    optimize = blocking(AsyncSession.optimize)
    start_optimize = blocking(AsyncSession.start_optimize)
    calculate_dose = blocking(AsyncSession.calculate_dose)
    start_calculate_dose = blocking(AsyncSession.start_calculate_dose)
    pending_changes = blocking(AsyncSession.pending_changes)
    confirm = blocking(AsyncSession.confirm)
    commit = blocking(AsyncSession.commit)


class Client(Reads[AsyncClient]):
    """A connection to one server; make it with `connect`, close it or use ``with``."""

    session = blocking_context(AsyncClient.session, Session)

    def close(self) -> None:
        """Close the connection."""
        self._loop.run(self._behind.close())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    endpoint: str,
    token: str | None = None,
    *,
    tls: Tls | None = None,
    deadline_s: float = DEADLINE_S,
    retry: Retry = Retry(),  # noqa: B008 (frozen)
) -> Client:
    """A client for ordinary code.

    Nothing is sent yet: an endpoint where nobody answers shows at the first call.

    Parameters
    ----------
    endpoint : str
        ``host:port``.
    token : str, optional
        What the server wants to see before it answers.
    tls : Tls, optional
        Certificates; absent, the connection is not encrypted, which servers accept from their own machine only.
    deadline_s : float
        For each call, its retries included.
    retry : Retry
        How often a call is tried.
    """
    loop = LoopThread("beamwright-client")
    return Client(loop.run(connect_async(endpoint, token, tls=tls, deadline_s=deadline_s, retry=retry)), loop)
