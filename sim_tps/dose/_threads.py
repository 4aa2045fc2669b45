"""One numerical pass at a time.

Numba's fallback threading layer (workqueue) ends the process when two threads run parallel kernels at once, and two
passes side by side on the same cores are no faster than one after the other. So every parallel kernel runs in a turn.
"""

from __future__ import annotations

from threading import RLock

compute_turn = RLock()
"""Held for one forward or adjoint pass (milliseconds), never for a whole optimisation."""
