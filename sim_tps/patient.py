"""The patient as the TPS holds it: one planning image, its structures, and what the import found.

A structure is kept as *occupancy*: the share (0..1) of each image voxel that lies inside it, cropped to its box. So a
0.1 cc cochlea on a 2 mm image keeps its volume, and a DVH can weigh rim voxels by what is really in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim_tps.errors import BadInput, NotFound
from sim_tps.geometry import Grid, Vector


class Role(Enum):
    """What a structure is for."""

    TARGET = "target"
    OAR = "oar"
    EXTERNAL = "external"
    SUPPORT = "support"
    HELPER = "helper"


@dataclass(frozen=True, eq=False)
class Structure:
    """A named region of the image."""

    name: str
    """The TPS's own name, unique in the patient."""
    role: Role
    occupancy: NDArray[np.float32]
    """Share of each voxel inside the structure, 0..1, [z, y, x], cropped to the structure's box."""
    first_voxel: tuple[int, int, int]
    """Image index [z, y, x] of ``occupancy[0, 0, 0]``."""
    image_grid: Grid
    cut_by_image_edge: bool = False
    """The structure touches the first or last slice, so its volume (and every %) may be incomplete."""

    @classmethod
    def from_array(cls, name: str, role: Role, inside: NDArray[np.floating | np.bool_], grid: Grid) -> Structure:
        """Crop a whole-image occupancy (or mask) to its box; an all-zero one gives an empty structure."""
        if inside.shape != grid.shape:
            raise BadInput(f"structure {name!r}: array of shape {inside.shape}, expected the image's {grid.shape}.")
        slices = _box(inside)
        occupancy = np.ascontiguousarray(inside[slices], dtype=np.float32)
        edge = bool(occupancy.size) and bool(slices[0].start == 0 or slices[0].stop == grid.shape[0])
        return cls(name, role, occupancy, (slices[0].start, slices[1].start, slices[2].start), grid, edge)

    @cached_property
    def volume_cc(self) -> float:
        return float(self.occupancy.sum(dtype=np.float64)) * self.image_grid.voxel_cc

    @property
    def is_empty(self) -> bool:
        return self.volume_cc <= 0.0

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Where the box lies in a whole-image array."""
        z, y, x = (
            slice(first, first + count) for first, count in zip(self.first_voxel, self.occupancy.shape, strict=True)
        )
        return z, y, x

    def on_image(self) -> NDArray[np.float32]:
        """Occupancy as a whole-image array."""
        whole = np.zeros(self.image_grid.shape, np.float32)
        whole[self.slices] = self.occupancy
        return whole

    def mask(self) -> NDArray[np.bool_]:
        """Voxels at least half inside, as a whole-image array."""
        whole = np.zeros(self.image_grid.shape, bool)
        whole[self.slices] = self.occupancy >= 0.5
        return whole

    def centre_mm(self) -> Vector:
        """Centre of mass, ordered x, y, z."""
        if self.is_empty:
            raise BadInput(f"structure {self.name!r} is empty: it has no centre.")
        x, y, z = self.image_grid.axes_mm
        weight = self.occupancy.astype(np.float64)
        box_z, box_y, box_x = self.slices
        total = weight.sum()
        return (
            float((weight.sum((0, 1)) @ x[box_x]) / total),
            float((weight.sum((0, 2)) @ y[box_y]) / total),
            float((weight.sum((1, 2)) @ z[box_z]) / total),
        )


@dataclass(frozen=True)
class Finding:
    """Something the import did or noticed, to be shown to the person who plans."""

    code: str
    """Stable word, e.g. ``external-derived``, ``couch-excluded``, ``air-in-target``, ``cut-by-image-edge``."""
    message: str
    structure: str | None = None


@dataclass(frozen=True, eq=False)
class ReferenceDose:
    """A dose that came with the patient; for display and comparison, never for delivery."""

    label: str
    dose_gy: NDArray[np.float32]
    """Plan total, [z, y, x]."""
    grid: Grid


@dataclass(frozen=True, eq=False)
class Patient:
    """One planning image with its structures."""

    id: str
    label: str
    """Where the patient came from, in a word or two; never a person's name."""
    grid: Grid
    hu: NDArray[np.int16]
    structures: Mapping[str, Structure]
    findings: tuple[Finding, ...] = ()
    reference_dose: ReferenceDose | None = None
    prescription_note: str | None = None
    """The prescription found in the patient's own data, in words."""
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.hu.shape != self.grid.shape:
            raise BadInput(f"patient {self.id!r}: image of shape {self.hu.shape}, expected {self.grid.shape}.")

    def structure(self, name: str) -> Structure:
        """The structure of that name, or an error that lists the names there are."""
        try:
            return self.structures[name]
        except KeyError:
            raise NotFound(
                f"patient {self.id!r} has no structure {name!r}; it has {sorted(self.structures)}."
            ) from None

    @property
    def external(self) -> Structure:
        for structure in self.structures.values():
            if structure.role is Role.EXTERNAL:
                return structure
        raise NotFound(f"patient {self.id!r} has no External structure.")


def _box(inside: NDArray[np.floating | np.bool_]) -> tuple[slice, slice, slice]:
    present = inside > 0
    if not present.any():
        return slice(0, 0), slice(0, 0), slice(0, 0)
    spans = []
    for axis in range(3):
        where = np.flatnonzero(present.any(axis=tuple(a for a in range(3) if a != axis)))
        spans.append(slice(int(where[0]), int(where[-1]) + 1))
    return spans[0], spans[1], spans[2]
