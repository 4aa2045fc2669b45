"""What there is to notice about a patient: derived body, couch, air in targets, organs cut by the scan, odd HU.

Everything here looks and tells; only `derive_external` makes something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sim_tps.geometry import Grid
from sim_tps.patient import Finding, Role, Structure

BODY_HU = -500
"""Between air and the lightest tissue a skin is made of; lung lies below it, but inside the body's outline."""
LEAST_REPORTED_CC = 0.1
COUCH_CC = 20.0
"""Less than this beside the body is noise, hair or a mask's rim."""
HU_RANGE = (-1024, 3071)
"""What 12-bit CT numbers can say; conversion tables end there, and what lies beyond is metal, or not HU."""


def derive_external(hu: NDArray[np.int16], grid: Grid) -> Structure:
    """The patient's outline from the CT: the largest piece denser than `BODY_HU`, freed of thin contacts (couch), filled.

    Holes are filled slice by slice, so airways and lungs closed in a slice belong to the body.
    """
    dense = hu > BODY_HU
    thin_mm = 6.0
    size = [max(1, round(thin_mm / spacing)) for spacing in grid.spacing_mm[::-1]]
    cut = np.ones((1, size[1], size[2]), bool)
    core = _largest(ndimage.binary_opening(dense, cut, border_value=0))
    closed = ndimage.binary_closing(core, ndimage.generate_binary_structure(3, 1)) | core
    filled = np.stack([ndimage.binary_fill_holes(slice_) for slice_ in closed])
    return Structure.from_array("External", Role.EXTERNAL, filled, grid)


def inspect(hu: NDArray[np.int16], structures: Mapping[str, Structure]) -> Iterator[Finding]:
    """Everything to be told about a patient whose structures are named and who has an External."""
    external = next(s for s in structures.values() if s.role is Role.EXTERNAL)
    yield from _couch(hu, external, [s for s in structures.values() if s.role is Role.SUPPORT])
    yield from _odd_hu(hu, external)
    for structure in structures.values():
        if structure.is_empty:
            yield Finding("empty-structure", f"{structure.name} is empty: nothing can be asked of it.", structure.name)
            continue
        if structure.role is Role.TARGET:
            yield from _air(hu, structure)
        if structure.role in (Role.TARGET, Role.OAR):
            yield from _cut(structure)
            yield from _outside(structure, external)


def _couch(hu: NDArray[np.int16], external: Structure, supports: list[Structure]) -> Iterator[Finding]:
    beside = (hu > BODY_HU) & ~ndimage.binary_dilation(external.on_image() > 0.0, iterations=2)
    volume_cc = float(beside.sum()) * external.image_grid.voxel_cc
    if volume_cc >= COUCH_CC:
        drawn = f" ({', '.join(s.name for s in supports)} contoured)" if supports else ""
        yield Finding(
            "couch-excluded",
            f"{volume_cc:.0f} cc denser than {BODY_HU} HU lie outside {external.name}{drawn}: couch or immobilisation, "
            "not part of the patient; dose is calculated as if it were air.",
        )


def _odd_hu(hu: NDArray[np.int16], external: Structure) -> Iterator[Finding]:
    inside = hu[external.mask()]
    for beyond, word in (
        (inside < HU_RANGE[0], f"below {HU_RANGE[0]}"),
        (inside > HU_RANGE[1], f"above {HU_RANGE[1]}"),
    ):
        count = int(beyond.sum())
        if count:
            yield Finding(
                "hu-beyond-table",
                f"{count} voxels in {external.name} have HU {word} (from {inside.min()} to {inside.max()}): beyond any "
                "conversion table, which is held constant there.",
                external.name,
            )


def _air(hu: NDArray[np.int16], target: Structure) -> Iterator[Finding]:
    air = hu[target.slices] < BODY_HU
    volume_cc = float(target.occupancy[air].sum(dtype=np.float64)) * target.image_grid.voxel_cc
    if volume_cc >= LEAST_REPORTED_CC:
        share = 100.0 * volume_cc / target.volume_cc
        yield Finding(
            "air-in-target",
            f"{volume_cc:.1f} cc ({share:.1f} %) of {target.name} are air (below {BODY_HU} HU): full dose there is not to "
            "be had, and asking for it makes hot spots beside it.",
            target.name,
        )


def _cut(structure: Structure) -> Iterator[Finding]:
    if structure.cut_by_image_edge:
        first, count = structure.first_voxel[0], structure.image_grid.shape[0]
        end = "lower" if first == 0 else "upper"
        if first == 0 and structure.slices[0].stop == count:
            end = "lower and upper"
        yield Finding(
            "cut-by-image-edge",
            f"{structure.name} reaches the scan's {end} end and may go on beyond it: its volume, its mean dose and every "
            "percentage are of the part that was scanned.",
            structure.name,
        )


def _outside(structure: Structure, external: Structure) -> Iterator[Finding]:
    body = external.on_image()[structure.slices]
    outside_cc = (
        float(np.maximum(structure.occupancy - body, 0.0).sum(dtype=np.float64)) * structure.image_grid.voxel_cc
    )
    if outside_cc >= max(LEAST_REPORTED_CC, 0.001 * structure.volume_cc):
        share = 100.0 * outside_cc / structure.volume_cc
        yield Finding(
            "outside-external",
            f"{outside_cc:.1f} cc ({share:.1f} %) of {structure.name} lie outside {external.name}; look at both contours.",
            structure.name,
        )


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()
