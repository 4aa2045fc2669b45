"""Eclipse behind the contract, through ESAPI and pythonnet.

The one idea: ESAPI belongs to one thread and to nobody else. `reach` owns that thread and is the only place that knows
.NET; `chart` is the open patient as that thread sees it. Everything that touches an ESAPI object is a *room*, a module
of functions that run there and hand out `bridge.model` objects only: `reading` looks, `objectives` and `making` write,
`working` calculates. `backend` says which room answers what; `recall` and `memory` keep what ESAPI cannot, for the
length of an operation and beyond the process.

Next: `bridge/backends/esapi/backend.py`.
"""
