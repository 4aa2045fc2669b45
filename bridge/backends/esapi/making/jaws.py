"""How far jaws must open for a beam to see points of the patient.

The one idea: points are turned from the patient into the beam's own axes, IEC 61217, and projected from the source onto
the plane of the isocentre; how the patient lies on the table decides which way is up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge import errors
from bridge.model import Vector

SAD_MM = 1000.0
MARGIN_MM = 10.0
"""Room beyond the target for the penumbra."""

_UP: Mapping[str, Vector] = {
    "Supine": (0.0, -1.0, 0.0),
    "Prone": (0.0, 1.0, 0.0),
    "DecubitusRight": (1.0, 0.0, 0.0),
    "DecubitusLeft": (-1.0, 0.0, 0.0),
}
"""How a patient lies -> what points to the ceiling, in LPS."""
_GANTRYWARDS: Mapping[str, Vector] = {"HeadFirst": (0.0, 0.0, 1.0), "FeetFirst": (0.0, 0.0, -1.0)}


@dataclass(frozen=True)
class View:
    """Where a beam looks from: IEC 61217 angles, and the isocentre in the patient."""

    gantry_deg: float
    collimator_deg: float
    couch_deg: float
    isocentre_mm: Vector
    orientation: str
    """ESAPI's PatientOrientation."""


def opening(
    view: View, points_mm: NDArray[np.float64], max_field_mm: tuple[float, float], beam: str
) -> tuple[float, float, float, float]:
    """Jaws x1, y1, x2, y2 in mm around points of the patient, (n, 3), with a margin as far as the machine has room.

    Raises
    ------
    InvalidField
        The points themselves reach beyond the machine's field.
    """
    seen = projected(view, points_mm)
    low, high = seen.min(axis=0), seen.max(axis=0)
    half = np.array(max_field_mm) / 2.0
    if (low < -half).any() or (high > half).any():
        raise errors.InvalidField(
            f"{beam}: the targets reach x {low[0]:.0f} to {high[0]:.0f} mm, y {low[1]:.0f} to {high[1]:.0f} mm from "
            f"the isocentre, and the machine opens {2 * half[0]:.0f} × {2 * half[1]:.0f} mm. Centre the isocentre."
        )
    x1, y1 = np.maximum(np.floor(low - MARGIN_MM), -half)
    x2, y2 = np.minimum(np.ceil(high + MARGIN_MM), half)
    return float(x1), float(y1), float(x2), float(y2)


def projected(view: View, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where points appear on the plane of the isocentre: x, y of the collimator, (n, 2) in mm."""
    fixed = (points_mm - np.asarray(view.isocentre_mm)) @ _fixed_axes(view.orientation).T
    on_table = fixed @ _about_z(view.couch_deg).T
    seen = on_table @ _about_y(view.gantry_deg) @ _about_z(view.collimator_deg)
    if (seen[:, 2] >= SAD_MM).any():
        raise errors.InvalidField(f"the isocentre {view.isocentre_mm} is more than {SAD_MM:.0f} mm from a target.")
    return np.asarray(seen[:, :2] * (SAD_MM / (SAD_MM - seen[:, 2:])))


def _fixed_axes(orientation: str) -> NDArray[np.float64]:
    """Rows: the treatment room's x, y (towards the gantry) and z (up) in LPS, couch at 0."""
    for first, gantrywards in _GANTRYWARDS.items():
        up = _UP.get(orientation.removeprefix(first))
        if orientation.startswith(first) and up is not None:
            return np.array([np.cross(gantrywards, up), gantrywards, up])
    raise errors.TpsRefused(f"the patient lies {orientation!r} in the plan; how beams see that is not known here.")


def _about_y(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _about_z(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
