"""The points on which objectives are judged: dense where dose bends, thin where it does not.

Voxels of the optimisation grid in and next to targets, and in organs of up to some thousand voxels, are all kept.
Farther away one voxel of each block is drawn and stands for its block; the weights are scaled so that every structure
keeps its exact volume.
A structure smaller than a few dozen voxels gets points of its own, finer than the grid, so that a 0.1 cc cochlea is
seen as what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.optimise.objectives import Region
from sim_tps.patient import Structure

DENSE_MARGIN_MM = 10.0
"""Every voxel this close to a target is kept: there dose falls, and hot spots would hide between samples."""
SHELL_MM = 30.0
"""Within this distance of a target one point stands for a block of about `SHELL_SPACING_MM`."""
SHELL_SPACING_MM = 6.0
FAR_SPACING_MM = 15.0
ORGAN_VOXELS = 6_000
"""A structure of fewer voxels is kept whole wherever it lies."""
SMALL_VOXELS = 50
"""A structure of fewer voxels gets points finer than the grid."""
_POINTS_IN_SMALL = 200


@dataclass(frozen=True, eq=False)
class Samples:
    """Points, and for each structure which of them it is judged on."""

    points_mm: NDArray[np.float64]
    """Shape (points, 3), ordered x, y, z."""
    regions: Mapping[str, Region]
    finer_than_grid: frozenset[str]
    """Structures with points of their own."""


def sample(
    structures: Sequence[Structure], targets: Sequence[Structure], grid: Grid, seed: int, fineness: int = 1
) -> Samples:
    """Draw the points for these structures; the same seed always gives the same points.

    ``fineness`` divides the distance between thinned points.
    """
    for structure in structures:
        if structure.is_empty:
            raise BadInput(f"structure {structure.name!r} is empty: no objective can act on it. Remove its objectives.")
    distance = target_distance(targets, grid)
    shares = {structure.name: share_on(structure, grid) for structure in structures}
    small = [s for s in structures if shares[s.name].sum() < SMALL_VOXELS]
    large = {s.name: shares[s.name] for s in structures if s not in small}
    chosen, stands_for = _draw(large, distance, grid, fineness, np.random.default_rng(seed))
    points = [grid.centres_mm(chosen)]
    near_target = distance.ravel()
    regions = {name: _region(share.ravel(), chosen, stands_for, near_target) for name, share in large.items()}
    for structure in small:
        own, weight = _fine_points(structure)
        index = np.arange(len(own)) + sum(map(len, points))
        regions[structure.name] = Region(index, weight, _at(distance, grid, own))
        points.append(own)
    return Samples(np.concatenate(points), regions, frozenset(s.name for s in small))


def share_on(structure: Structure, grid: Grid) -> NDArray[np.float32]:
    """Share of each voxel of a grid that lies inside a structure, [z, y, x]; exact for its occupancy."""
    image = structure.image_grid
    share = structure.occupancy.astype(np.float32)
    for axis in range(3):
        overlap = _overlap(image, grid, axis)[:, structure.slices[axis]]
        share = np.moveaxis(np.tensordot(overlap, share, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(share)


def target_distance(targets: Sequence[Structure], grid: Grid) -> NDArray[np.float32]:
    """Distance in mm of each voxel from the nearest target voxel, 0 inside, [z, y, x]."""
    inside = np.zeros(grid.shape, bool)
    for target in targets:
        share = share_on(target, grid)
        inside |= (share > 0.0) & (share >= min(0.5, 0.5 * float(share.max(initial=0.0))))
    if not inside.any():
        raise BadInput(
            f"the targets {[t.name for t in targets]} have no voxel on the optimisation grid. Do they lie inside the "
            "External?"
        )
    return distance_transform_edt(~inside, sampling=grid.spacing_mm[::-1]).astype(np.float32)


def _draw(
    shares: Mapping[str, NDArray[np.float32]],
    distance: NDArray[np.float32],
    grid: Grid,
    fineness: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Flat indices of the kept voxels, and how many voxels each stands for."""
    used = np.zeros(grid.size, bool)
    dense = distance.ravel() <= DENSE_MARGIN_MM
    for share in shares.values():
        present = share.ravel() > 0.0
        used |= present
        if np.count_nonzero(present) <= ORGAN_VOXELS:
            dense |= present
    shell = distance.ravel() <= SHELL_MM
    kept = [np.flatnonzero(used & dense)]
    weights = [np.ones(len(kept[0]))]
    for candidates, spacing in ((used & ~dense & shell, SHELL_SPACING_MM), (used & ~dense & ~shell, FAR_SPACING_MM)):
        index, weight = _one_per_block(np.flatnonzero(candidates), grid, spacing / fineness, rng)
        kept.append(index)
        weights.append(weight)
    return np.concatenate(kept), np.concatenate(weights)


def _one_per_block(
    candidates: NDArray[np.intp], grid: Grid, spacing_mm: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """One voxel drawn from each block of about ``spacing_mm``, with the number of candidates in its block."""
    if not len(candidates):
        return candidates, np.zeros(0)
    sides = [max(1, round(spacing_mm / s)) for s in reversed(grid.spacing_mm)]
    z, y, x = (i // side for i, side in zip(np.unravel_index(candidates, grid.shape), sides, strict=True))
    block = (z * (grid.shape[1] + 1) + y) * (grid.shape[2] + 1) + x
    shuffled = rng.permutation(len(candidates))
    _, first, counts = np.unique(block[shuffled], return_index=True, return_counts=True)
    order = np.argsort(candidates[shuffled[first]])
    return candidates[shuffled[first]][order], counts[order].astype(np.float64)


def _region(
    share: NDArray[np.float32],
    chosen: NDArray[np.intp],
    stands_for: NDArray[np.float64],
    distance: NDArray[np.float32],
) -> Region:
    """A structure's points among the chosen; thinned and dense parts each keep their exact volume."""
    weight = share[chosen].astype(np.float64)
    thin = stands_for > 1.0
    dense_total = weight[~thin].sum()
    thin_total = float(share.sum(dtype=np.float64)) - dense_total
    weight[thin] *= stands_for[thin]
    drawn = weight[thin].sum()
    if drawn > 0.0:
        weight[thin] *= thin_total / drawn
    index = np.flatnonzero(weight)
    return Region(index, weight[index] / weight.sum(), distance[chosen[index]].astype(np.float64))


def _fine_points(structure: Structure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points inside a small structure: its image voxels, each cut into equal parts; shares sum to 1."""
    image = structure.image_grid
    present = np.flatnonzero(structure.occupancy)
    parts = max(1, int(np.ceil((_POINTS_IN_SMALL / len(present)) ** (1 / 3))))
    first = np.array(structure.first_voxel[::-1]) * image.spacing_mm + image.origin_mm
    box = Grid((first[0], first[1], first[2]), image.spacing_mm, structure.occupancy.shape)
    step = (np.arange(parts) + 0.5) / parts - 0.5
    offsets = np.stack(np.meshgrid(step, step, step, indexing="ij"), axis=-1).reshape(-1, 3) * image.spacing_mm
    points = (box.centres_mm(present)[:, None, :] + offsets[None, :, :]).reshape(-1, 3)
    weight = np.repeat(structure.occupancy.ravel()[present].astype(np.float64), len(offsets))
    return points, weight / weight.sum()


def _at(values: NDArray[np.float32], grid: Grid, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the voxels in which points lie."""
    position = (points_mm - np.array(grid.origin_mm)) / np.array(grid.spacing_mm)
    return map_coordinates(values, position[:, ::-1].T, order=0, mode="nearest").astype(np.float64)


def _overlap(image: Grid, grid: Grid, axis: int) -> NDArray[np.float32]:
    """Share of each grid voxel's extent that each image voxel covers, along array axis 0 (z), 1 (y) or 2 (x)."""
    side = 2 - axis
    low_grid = grid.axes_mm[side] - grid.spacing_mm[side] / 2
    low_image = image.axes_mm[side] - image.spacing_mm[side] / 2
    start = np.maximum(low_grid[:, None], low_image[None, :])
    end = np.minimum(low_grid[:, None] + grid.spacing_mm[side], low_image[None, :] + image.spacing_mm[side])
    share = np.maximum(end - start, 0.0) / grid.spacing_mm[side]
    return np.where(share > 1e-9, share, 0.0).astype(np.float32)
