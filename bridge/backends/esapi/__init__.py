"""Eclipse behind the contract, through ESAPI and pythonnet.

The one idea: ESAPI belongs to one thread and to nobody else. `thread` owns that thread, `access` is the only module
that imports ``clr``, and everything that touches an ESAPI object (a *room*: plans, structures, objectives, ...) is a
function that runs there and hands out `bridge.model` objects only.

Next: `bridge/backends/esapi/backend.py`.
"""
