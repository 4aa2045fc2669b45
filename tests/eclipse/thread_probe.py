"""Run in a process of its own: what becomes of those who touch ESAPI on a thread that is not its own, or fail there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.site import read_site
from bridge.backends.esapi.reach.thread import OwnThread
from tests.eclipse.emulated import PHANTOM


def main(configuration: str) -> None:
    """Print what each attempt met."""
    access.load(read_site(Path(configuration)).dll_folder)
    thread = OwnThread()
    leaked: list[Any] = []

    def open_patient() -> None:
        application = access.api().Application.CreateApplication()
        leaked.extend([application, application.OpenPatientById(PHANTOM)])

    thread.call(open_patient)
    application, patient = leaked
    found = {
        "through the door": _outcome(lambda: access.get(patient, "Id")),
        "past the door": _outcome(lambda: patient.get_Id()),
        "an object handed out": _outcome(lambda: thread.call(lambda: patient)),
        "thrown by .NET": _outcome(lambda: thread.call(lambda: application.OpenPatientById("another"))),
        "thrown by Python": _outcome(lambda: thread.call(lambda: 1 // 0)),
        "afterwards": _outcome(lambda: thread.call(lambda: access.get(patient, "Id"))),
    }
    thread.call(lambda: application.Dispose())
    print(json.dumps(found), flush=True)
    ended = thread.close(10.0)
    os._exit(0 if ended else 1)


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        return str(attempt())
    except BaseException as error:
        return f"{type(error).__name__}: {access.message(error)}"


if __name__ == "__main__":
    main(sys.argv[1])
