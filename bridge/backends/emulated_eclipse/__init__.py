"""What stands behind the emulated ESAPI: a database of patients and the simulator's physics, in a process of its own.

The one idea: the emulation is C# and keeps Eclipse's rules; whatever has to be computed or kept it asks of this process
over its stdin and stdout. It asks with plain records, so nothing here knows of ESAPI.

Read `verbs` first, then `hospital` for what survives a restart and `calculations` for dose. `intake` writes patients.
"""

from __future__ import annotations
