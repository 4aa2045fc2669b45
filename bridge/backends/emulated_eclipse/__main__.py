"""``python -m bridge.backends.emulated_eclipse FOLDER``: answer frames on stdin until it ends.

The one idea: stdout belongs to frames alone. Before anything else it is moved to a descriptor of its own, and what
others print goes to stderr. Ctrl-C at the terminal is the parent's business: this process ends when its stdin does.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from bridge.backends.emulated_eclipse.frames import BrokenFrame, read_frame, write_frame


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m bridge.backends.emulated_eclipse FOLDER\n")
        return 2
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        return _serve(Path(sys.argv[1]), sys.stdin.buffer, replies)
    except BrokenPipeError:
        return 0


def _serve(folder: Path, requests: BinaryIO, replies: BinaryIO) -> int:
    from bridge.backends.emulated_eclipse.verbs import Verbs
    from sim_tps.errors import TpsError

    try:
        verbs = Verbs(folder)
        while (frame := read_frame(requests)) is not None:
            header, blob = verbs.answer(frame[0], lambda line: write_frame(replies, {"trace": line}))
            write_frame(replies, header, blob)
    except (TpsError, BrokenFrame) as error:
        sys.stderr.write(f"emulated Eclipse: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
