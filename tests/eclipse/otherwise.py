"""An emulated Eclipse with other settings for the length of a block: the shared one, switched, or one of its own.

The one idea: settings are read when a patient is opened. Stand-alone the adapter opens and closes patients, so the
shared server is told, and made to open the patient anew, before the block and after it. In Eclipse a person has the
patient open, so there a new Eclipse is started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.client import Client
from tests.eclipse.conftest import find
from tests.eclipse.emulated import LYING, ODD, Eclipse

Start = Callable[..., Eclipse]


@contextmanager
def otherwise(
    eclipse: Eclipse, own_eclipse: Start, patient: str = LYING, *, deadline_s: float = 60.0, **settings: Any
) -> Iterator[Client]:
    """A client of an Eclipse that has ``settings`` (as for `Eclipse.set`) from the patient's opening on."""
    if eclipse.in_eclipse:
        with own_eclipse(eclipse.profile, patient=patient, settings=settings).client(deadline_s) as client:
            yield client
        return
    eclipse.set(**settings)
    with eclipse.client(deadline_s) as client:
        _close(client, patient)
        try:
            yield client
        finally:
            eclipse.set()
            _close(client, patient)


def _close(client: Client, patient: str) -> None:
    """Have the server close a patient, which it does to open another one."""
    other = LYING if patient == ODD else ODD
    client.structures(find(client, other))
