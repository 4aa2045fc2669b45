"""The canvas a case is painted on: one CT image, and the structures that were outlined while painting.

Shapes become *regions* (occupancy 0..1 in a box of voxels): small ones are sampled several times per voxel edge, so a
cochlea keeps its volume on any grid. Tissue is painted back to front, as on glass; an organ is outlined from the very
shape it was painted with, so image and contours cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sim_tps.cases.shapes import Array, Bounds, OpenGrid, Ripple, Shape
from sim_tps.cases.tissue import Hu
from sim_tps.geometry import Grid, Vector
from sim_tps.patient import Finding, Patient, Role, Structure

SKIN_MM = 2.0
SMALLEST_SAMPLE_MM = 0.5
"""Sampling finer than this changes no organ's volume by more than a percent."""
MOST_SAMPLES = 600_000
"""Above this a shape is sampled once per voxel: it is large, and its rim is a small share of it."""

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Region:
    """Occupancy in a box of image voxels; combines like a set (minimum and maximum of occupancies)."""

    box: Box
    occupancy: Array

    def __or__(self, other: Region) -> Region:
        box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(self.box, other.box, strict=True))
        whole = (box[0], box[1], box[2])
        return Region(whole, np.maximum(self.within(whole), other.within(whole)))

    def __and__(self, other: Region) -> Region:
        return Region(self.box, np.minimum(self.occupancy, other.within(self.box)))

    def __sub__(self, other: Region) -> Region:
        return Region(self.box, np.minimum(self.occupancy, 1 - other.within(self.box)))

    def within(self, box: Box) -> Array:
        """The occupancy in another box, zero where this region has none."""
        out = np.zeros([s.stop - s.start for s in box], np.float32)
        shared = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, self.box, strict=True)]
        if any(s.start >= s.stop for s in shared):
            return out
        target = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(shared, box, strict=True))
        source = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(shared, self.box, strict=True))
        out[target] = self.occupancy[source]
        return out


class Depths:
    """A large shape's signed distance, kept, so that its layers (skin, fat, bone tables) cost one evaluation."""

    def __init__(self, box: Box, distance: Array, width_mm: float) -> None:
        self.box, self.distance, self._width_mm = box, distance, width_mm

    def deeper_than(self, depth_mm: float) -> Region:
        """The region at least ``depth_mm`` below the surface (above it where negative)."""
        return Region(self.box, np.clip(0.5 - (self.distance + np.float32(depth_mm)) / self._width_mm, 0, 1))


class Canvas:
    """One image being painted."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.hu: Array = np.full(grid.shape, Hu.AIR, np.float32)
        self._structures: dict[str, Structure] = {}

    def region(self, shape: Shape) -> Region:
        """The shape's occupancy of the voxels it touches."""
        box = self._box(shape.bounds.padded(max(self.grid.spacing_mm)))
        factors = self._samples_per_voxel(box)
        distance = self._sampled(shape, box, factors)
        step = np.asarray(self.grid.spacing_mm)[::-1] / factors
        fine = np.clip(0.5 - distance / float(np.cbrt(step.prod())), 0, 1)
        return Region(box, _block_mean(fine, factors))

    def depths(self, shape: Shape) -> Depths:
        """The shape's signed distance, one sample per voxel."""
        box = self._box(shape.bounds.padded(2 * max(self.grid.spacing_mm)))
        return Depths(box, self._sampled(shape, box, (1, 1, 1)), float(np.cbrt(np.prod(self.grid.spacing_mm))))

    def margin(self, shape: Shape, mm: float) -> Region:
        """All points within ``mm`` of the shape: a Euclidean distance transform, exact to a fraction of a sample."""
        box = self._box(shape.bounds.padded(mm + 2 * max(self.grid.spacing_mm)))
        factors = self._samples_per_voxel(box, most=4 * MOST_SAMPLES)
        step = np.asarray(self.grid.spacing_mm)[::-1] / factors
        inside = self._sampled(shape, box, factors) <= 0
        width = float(np.cbrt(step.prod()))
        away = ndimage.distance_transform_edt(~inside, sampling=step) - width / 2
        return Region(box, _block_mean(np.clip(0.5 - (away - mm) / width, 0, 1), factors))

    def paint(self, what: Shape | Region, hu: float) -> Region:
        """Cover a region with one CT number, mixing in voxels that are partly inside."""
        region = self.region(what) if isinstance(what, Shape) else what
        below = self.hu[region.box]
        below += region.occupancy * (np.float32(hu) - below)
        return region

    def outline(self, name: str, role: Role, what: Shape | Region) -> Region:
        """Add a structure."""
        region = self.region(what) if isinstance(what, Shape) else what
        whole = np.zeros(self.grid.shape, np.float32)
        whole[region.box] = region.occupancy
        self._structures[name] = Structure.from_array(name, role, whole, self.grid)
        return region

    def organ(self, name: str, shape: Shape, hu: float) -> Region:
        """Paint an organ at risk and outline it."""
        return self.outline(name, Role.OAR, self.paint(shape, hu))

    def body(self, outline: Shape) -> Depths:
        """Paint the whole body as fat in its skin, outline it as External, and return its depths."""
        depths = self.depths(outline)
        self.outline("External", Role.EXTERNAL, depths.deeper_than(0.0))
        self.hu = self._bare(depths)
        return depths

    def restore_skin(self, depths: Depths, thickness_mm: float) -> None:
        """Take back what was painted nearer to the skin than that, e.g. bone that pokes through."""
        bare, keep = self._bare(depths), depths.deeper_than(thickness_mm).within(_whole(self.grid))
        self.hu = bare + keep * (self.hu - bare)

    def _bare(self, depths: Depths) -> Array:
        hu = np.full(self.grid.shape, Hu.AIR, np.float32)
        for depth, value in ((0.0, Hu.SKIN), (SKIN_MM, Hu.FAT)):
            hu += depths.deeper_than(depth).within(_whole(self.grid)) * (np.float32(value) - hu)
        return hu

    def mottle(
        self, rng: np.random.Generator, amplitude_hu: float, wavelength_mm: float, low: float, high: float
    ) -> None:
        """Vary the tissue between two CT numbers gently, as fat and vessels do; edges stay where they are."""
        field = Ripple.drawn(rng, wavelength_mm, count=40).values(self.open_grid(_whole(self.grid)))
        tissue = (self.hu > low) & (self.hu < high)
        self.hu += np.float32(amplitude_hu) * field * tissue

    def patient(
        self, case: str, label: str, seed: int, findings: tuple[Finding, ...] = (), note: str | None = None
    ) -> Patient:
        """What was painted, as a patient that says of itself that no person stands behind it."""
        made = Finding("synthetic-patient", f"Synthetic patient (built-in case {case}, seed {seed}).")
        return Patient(
            id=f"{case}-{seed}",
            label=label,
            grid=self.grid,
            hu=np.clip(np.rint(self.hu), -1024, 3071).astype(np.int16),
            structures=dict(self._structures),
            findings=(made, *findings),
            prescription_note=note,
            provenance={"source": "procedural case", "case": case, "seed": str(seed)},
        )

    def structure(self, name: str) -> Structure:
        """A structure already outlined."""
        return self._structures[name]

    def open_grid(self, box: Box, factors: tuple[int, int, int] = (1, 1, 1)) -> OpenGrid:
        axes = []
        for axis, (part, factor, first, step) in enumerate(
            zip(box, factors, self.grid.origin_mm[::-1], self.grid.spacing_mm[::-1], strict=True)
        ):
            fine = (np.arange((part.stop - part.start) * factor) + 0.5) / factor - 0.5 + part.start
            shape = [1, 1, 1]
            shape[axis] = -1
            axes.append((first + step * fine).astype(np.float32).reshape(shape))
        return OpenGrid(axes[2], axes[1], axes[0])

    def _box(self, bounds: Bounds) -> Box:
        low = (bounds.low - self.grid.origin_mm) / self.grid.spacing_mm
        high = (bounds.high - self.grid.origin_mm) / self.grid.spacing_mm
        count = np.array(self.grid.shape[::-1])
        start = np.clip(np.floor(low), 0, count - 1).astype(int)
        stop = np.clip(np.ceil(high) + 1, start + 1, count).astype(int)
        x, y, z = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        return z, y, x

    def _samples_per_voxel(self, box: Box, most: int = MOST_SAMPLES) -> tuple[int, int, int]:
        voxels = int(np.prod([s.stop - s.start for s in box]))
        wanted = [max(1, int(np.ceil(step / SMALLEST_SAMPLE_MM))) for step in self.grid.spacing_mm[::-1]]
        affordable = max(1, int(np.cbrt(most / voxels)))
        z, y, x = (min(n, affordable) for n in wanted)
        return z, y, x

    def _sampled(self, shape: Shape, box: Box, factors: tuple[int, int, int]) -> Array:
        """Distance, divided by its own steepness so that it is in mm near the surface whatever the shape's formula."""
        at = self.open_grid(box, factors)
        size = [len(axis.ravel()) for axis in (at.z, at.y, at.x)]
        distance = np.broadcast_to(shape.distance(at), size)
        if min(size) < 2:
            return distance
        step = [s / f for s, f in zip(self.grid.spacing_mm[::-1], factors, strict=True)]
        steep = np.sqrt(sum(np.square(g, dtype=np.float32) for g in np.gradient(distance, *np.float32(step))))
        return distance / np.clip(steep, 0.3, 3.0)


def centred_grid(low: Vector, high: Vector, spacing_mm: Vector) -> Grid:
    """A grid whose voxels cover the box from ``low`` to ``high``, ordered x, y, z."""
    counts = [max(1, round((b - a) / s)) for a, b, s in zip(low, high, spacing_mm, strict=True)]
    origin = tuple(a + s / 2 for a, s in zip(low, spacing_mm, strict=True))
    return Grid((origin[0], origin[1], origin[2]), spacing_mm, (counts[2], counts[1], counts[0]))


def _whole(grid: Grid) -> Box:
    z, y, x = (slice(0, n) for n in grid.shape)
    return z, y, x


def _block_mean(fine: NDArray[np.floating], factors: tuple[int, int, int]) -> Array:
    if factors == (1, 1, 1):
        return fine.astype(np.float32)
    (nz, ny, nx), (fz, fy, fx) = fine.shape, factors
    blocks = fine.reshape(nz // fz, fz, ny // fy, fy, nx // fx, fx)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)
