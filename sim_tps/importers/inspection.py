"""What there is to notice about a patient: derived body, couch, air in targets, organs cut by the scan, odd HU.

Everything here looks and tells; `derive_external` alone makes something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sim_tps.dose.density import HU_TABLE
from sim_tps.geometry import Grid
from sim_tps.patient import Finding, Role, Structure

BODY_HU = -500
"""Between air and the lightest tissue a skin is made of; lung lies below it, but inside the body's outline."""
THIN_MM = 6.0
"""What is thinner than this in a slice (couch shells, and where they touch the skin) is not body."""
LEAST_REPORTED_CC = 0.1
FLAT_END_MM2 = 2000.0
"""A body whose last slice is larger than this was cut there; a vertex or a chin ends smaller."""
COUCH_CC = 20.0
"""Less than this beside the body is noise, hair or a mask's rim."""


def derive_external(hu: NDArray[np.int16], grid: Grid) -> Structure:
    """The patient's outline from the CT: the largest piece denser than `BODY_HU`, without thin things, filled.

    Holes are filled slice by slice, so airways and lungs closed in a slice belong to the body.
    """
    dense = hu > BODY_HU
    width = [max(1, round(THIN_MM / spacing)) for spacing in grid.spacing_mm[1::-1]]
    core = _largest(ndimage.binary_opening(dense, np.ones((1, *width), bool)))
    closed = ndimage.binary_closing(core, ndimage.generate_binary_structure(3, 1)) | core
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in closed])
    return Structure.from_array("External", Role.EXTERNAL, filled, grid)


def marked_where_cut(structure: Structure, external: Structure) -> Structure:
    """The structure, flagged where it reaches the scan's end."""
    return replace(structure, cut_by_image_edge=bool(_ends_reached(structure, external)))


def inspect(hu: NDArray[np.int16], structures: Mapping[str, Structure]) -> Iterator[Finding]:
    """Everything to be told about a patient whose structures are named and who has an External."""
    external = next(s for s in structures.values() if s.role is Role.EXTERNAL)
    yield from _couch(hu, external)
    yield from _odd_hu(hu, external)
    for structure in structures.values():
        if structure.is_empty:
            yield Finding("empty-structure", f"{structure.name} is empty: nothing can be asked of it.", structure.name)
            continue
        if structure.role is Role.TARGET:
            yield from _air(hu, structure)
        if structure.role in (Role.TARGET, Role.OAR):
            yield from _cut(structure, external)
            yield from _outside(structure, external)


def _couch(hu: NDArray[np.int16], external: Structure) -> Iterator[Finding]:
    beside = (hu > BODY_HU) & ~ndimage.binary_dilation(external.on_image() > 0.0, iterations=2)
    volume_cc = float(beside.sum()) * external.image_grid.voxel_cc
    if volume_cc >= COUCH_CC:
        yield Finding(
            "couch-excluded",
            f"{volume_cc:.0f} cc denser than {BODY_HU} HU lie outside {external.name}: couch, immobilisation, or a "
            "body larger than its outline. It is no part of the patient here; dose is calculated as if it were air.",
        )


def _odd_hu(hu: NDArray[np.int16], external: Structure) -> Iterator[Finding]:
    inside = hu[external.mask()]
    low, high = HU_TABLE.hu[0], HU_TABLE.hu[-1]
    count = int(np.count_nonzero((inside < low) | (inside > high)))
    if count:
        yield Finding(
            "hu-beyond-table",
            f"{count} voxels in {external.name} have HU beyond the density table ({low:g} to {high:g}; found "
            f"{inside.min()} to {inside.max()}): metal or padding, to be overwritten before dose can be calculated.",
            external.name,
        )


def _air(hu: NDArray[np.int16], target: Structure) -> Iterator[Finding]:
    air = hu[target.slices] < BODY_HU
    volume_cc = float(target.occupancy[air].sum(dtype=np.float64)) * target.image_grid.voxel_cc
    if volume_cc >= LEAST_REPORTED_CC:
        yield Finding(
            "air-in-target",
            f"{_part(volume_cc, target)} is air (below {BODY_HU} HU): full dose there is not to be had, and asking for "
            "it makes hot spots beside it.",
            target.name,
        )


def _cut(structure: Structure, external: Structure) -> Iterator[Finding]:
    ends = _ends_reached(structure, external)
    if ends:
        yield Finding(
            "cut-by-image-edge",
            f"{structure.name} reaches the scan's {' and '.join(ends)} end and may go on beyond it: its volume, mean "
            "dose and percentages are those of the part that was scanned.",
            structure.name,
        )


def _ends_reached(structure: Structure, external: Structure) -> list[str]:
    """Which ends of the scan a structure touches: the image's, or a slice where the body ends in a flat face.

    Scans padded with empty slices end where the body does.
    """
    if structure.is_empty:
        return []
    own, body, count = structure.slices[0], external.slices[0], structure.image_grid.shape[0]
    area_mm2 = (
        external.occupancy.sum(axis=(1, 2)) * structure.image_grid.spacing_mm[0] * structure.image_grid.spacing_mm[1]
    )
    lower = own.start == 0 or (own.start <= body.start and area_mm2[0] > FLAT_END_MM2)
    upper = own.stop == count or (own.stop >= body.stop and area_mm2[-1] > FLAT_END_MM2)
    return [word for word, reached in (("lower", lower), ("upper", upper)) if reached]


def _outside(structure: Structure, external: Structure) -> Iterator[Finding]:
    body = external.on_image()[structure.slices]
    outside = np.maximum(structure.occupancy - body, 0.0)
    outside_cc = float(outside.sum(dtype=np.float64)) * structure.image_grid.voxel_cc
    if outside_cc >= max(LEAST_REPORTED_CC, 0.001 * structure.volume_cc):
        yield Finding(
            "outside-external",
            f"{_part(outside_cc, structure)} lies outside {external.name}; look at both outlines.",
            structure.name,
        )


def _part(volume_cc: float, structure: Structure) -> str:
    return f"{volume_cc:.1f} cc ({100.0 * volume_cc / structure.volume_cc:.1f} %) of {structure.name}"


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()
