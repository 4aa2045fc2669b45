"""A beam's optimised fluence, where Eclipse has one.

The one idea: nobody says what Eclipse answers for a beam that was never optimised, or that has no fluence by its nature
(an arc, electrons, an imported field): null and an exception both mean that there is none.
"""

from __future__ import annotations

from typing import Any

from bridge.backends.esapi.reach import access, faults


def fluence_of(beam: Any) -> Any:
    """ESAPI's Fluence, or None where there is none; what tells that the patient is gone is raised."""
    access.require_owner()
    try:
        return beam.GetOptimalFluence()
    except access.net_errors() as error:
        if faults.is_gone(error):
            raise
        return None
