"""One numerical pass at a time.

Numba's fallback threading layer (workqueue) ends the process when two threads run parallel kernels at once, and two
passes side by side on the same cores are no faster than one after the other. So every parallel kernel runs in a turn.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from threading import RLock

from threadpoolctl import threadpool_limits

compute_turn = RLock()
"""Held for one forward or adjoint pass (milliseconds), never for a whole optimisation."""


def one_blas_thread() -> AbstractContextManager[object]:
    """While this holds, vector operations use one thread: more only spin beside the compiled loops and slow them down.

    TG-119 on two cores: 5.6 s for an optimisation with OpenBLAS's own two threads, 2.3 s with one.
    """
    return threadpool_limits(limits=1, user_api="blas")
