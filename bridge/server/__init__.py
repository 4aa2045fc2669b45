"""The contract's server: one for every TPS, whatever stands behind it.

A call passes `gate` (who calls, is it sound), reaches a servicer, and from there the `desk`, where a read or a write
takes its turn on the `tps_thread`. `sessions` know who may write to what, `operations` are the long work, `replay`
makes a repeated request harmless, and the `journal` keeps what must outlive the process. Next: `bridge/server/app.py`,
where all of it is put together.
"""

from bridge.server.app import Server

__all__ = ["Server"]
