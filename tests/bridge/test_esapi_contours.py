"""Contours to occupancy, voxels to arrays, and where they lie: arithmetic that needs no Eclipse."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge import errors
from bridge.backends.esapi.reading import contours, grids, volumes
from bridge.backends.esapi.reading.contours import enclosed, occupancy
from bridge.backends.esapi.reading.grids import Lattice, Origin
from sim_tps.geometry import Grid
from sim_tps.importers.contours import plane_occupancy

SUPINE = Lattice((-10.0, -20.0, 5.0), (2.0, 2.5, 3.0), (12, 9, 4), (1, 1, 1))
PRONE = Lattice((12.0, 0.0, 5.0), (2.0, 2.5, 3.0), (12, 9, 4), (-1, -1, 1))


def box(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.float64]:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def circle(x: float, y: float, radius: float, corners: int = 400) -> NDArray[np.float64]:
    angles = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


# rings to occupancy ----------------------------------------------------------------------------------------------


def test_whole_voxels_are_whole_and_the_rest_is_nothing() -> None:
    expected = np.zeros((6, 7), np.float32)
    expected[1:4, 2:5] = 1.0
    assert np.array_equal(enclosed([box(2, 1, 5, 4)], 7, 6), expected)


def test_parts_of_voxels_count_as_parts() -> None:
    part = enclosed([box(1.5, 1.0, 3.25, 2.5)], 5, 4)
    assert np.allclose(part[1], [0, 0.5, 1, 0.25, 0])
    assert np.allclose(part[2], [0, 0.25, 0.5, 0.125, 0])


@pytest.mark.parametrize("corners", [3, 5, 64])
def test_area_is_that_of_the_polygon(corners: int) -> None:
    ring = circle(10.3, 9.7, 6.2, corners)
    x, y = ring.T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert enclosed([ring], 20, 20).sum() == pytest.approx(area, rel=2e-3)


def test_inner_ring_is_a_hole_whichever_way_it_runs() -> None:
    outer, inner = circle(10, 10, 8), circle(10, 10, 3)
    for hole in (inner, inner[::-1]):
        part = enclosed([outer, hole], 20, 20)
        assert part[10, 10] == 0.0
        assert part.sum() == pytest.approx(math.pi * (64 - 9), rel=2e-3)


def test_keyhole_is_a_hole_as_well() -> None:
    outer, inner = circle(10, 10, 8), circle(10, 10, 3)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    assert np.allclose(enclosed([keyhole], 20, 20), enclosed([outer, inner], 20, 20), atol=1e-6)


def test_parts_beside_each_other_both_count() -> None:
    assert enclosed([box(1, 1, 3, 3), box(5, 2, 8, 4)], 10, 6).sum() == pytest.approx(10.0)


def test_what_leaves_the_image_is_cut_off_at_its_edge() -> None:
    part = enclosed([box(-3.0, -2.0, 2.5, 1.5)], 4, 3)
    assert np.allclose(part, [[1, 1, 0.5, 0], [0.5, 0.5, 0.25, 0], [0, 0, 0, 0]])
    assert enclosed([box(6, 1, 9, 2)], 4, 3).sum() == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_outlines_are_read_as_the_simulator_reads_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    rings = [random.uniform(-4.0, 24.0, (random.integers(3, 12), 2)) for _ in range(4)]
    grid = Grid((0.5, 0.5, 0.0), (1.0, 1.0, 1.0), (1, 18, 20))
    assert np.allclose(enclosed(rings, 20, 18), plane_occupancy(rings, grid), atol=2e-6)


def test_no_rings_enclose_nothing() -> None:
    assert enclosed([], 4, 3).sum() == 0.0


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("lattice", [SUPINE, PRONE])
def test_contour_around_one_voxel_fills_that_voxel(lattice: Lattice, origin: Origin) -> None:
    grid = lattice.grid(origin)
    x, y, z = (o + s * i for o, s, i in zip(grid.origin_mm, grid.spacing_mm, (7, 2, 3), strict=True))
    ring = np.column_stack([box(x - 1.0, y - 1.25, x + 1.0, y + 1.25), np.full(4, z)])
    own = occupancy({3: [ring]}, lattice, origin)
    values = lattice.turned(own)
    assert values.shape == (4, 9, 12)
    assert values[3, 2, 7] == pytest.approx(1.0)
    assert values.sum() == pytest.approx(1.0)


def test_plane_outside_the_image_is_refused() -> None:
    with pytest.raises(errors.TpsRefused, match="plane 4"):
        occupancy({4: [np.zeros((3, 3))]}, SUPINE, Origin.CENTRE)


@pytest.mark.parametrize(("offset", "origin"), [(0.0, Origin.CENTRE), (0.5, Origin.CORNER)])
def test_contours_tell_what_the_origin_is(offset: float, origin: Origin) -> None:
    rings = {plane: [np.array([[0, 0, 5.0 + 3.0 * (plane + offset)]] * 3)] for plane in (1, 2)}
    assert contours._origin(rings, SUPINE, "image") is origin


@pytest.mark.parametrize("offset", [0.25, -0.5, 1.0])
def test_contours_elsewhere_are_refused(offset: float) -> None:
    rings = {1: [np.array([[0, 0, 5.0 + 3.0 * (1 + offset)]] * 3)]}
    with pytest.raises(errors.TpsRefused, match="where its voxels lie is not known"):
        contours._origin(rings, SUPINE, "image")


# lattices --------------------------------------------------------------------------------------------------------


def test_turned_axes_keep_every_voxel_in_its_place() -> None:
    for origin in Origin:
        grid = PRONE.grid(origin)
        values = np.arange(12 * 9 * 4, dtype=np.float32).reshape(4, 9, 12)
        turned = PRONE.turned(values)
        for own in ((0, 0, 0), (11, 8, 3), (4, 7, 2)):
            index = [
                round((c - o) / s)
                for c, o, s in zip(PRONE.centre_mm(own, origin), grid.origin_mm, grid.spacing_mm, strict=True)
            ]
            assert turned[index[2], index[1], index[0]] == values[own[2], own[1], own[0]]


def test_prone_grid_starts_at_the_other_end() -> None:
    assert PRONE.grid(Origin.CENTRE).origin_mm == (12.0 - 22.0, 0.0 - 20.0, 5.0)
    assert PRONE.grid(Origin.CORNER).origin_mm == (12.0 - 23.0, 0.0 - 21.25, 6.5)


def test_place_of_a_centre_is_its_index() -> None:
    assert PRONE.place_of(PRONE.centre_mm((3, 1, 2), Origin.CENTRE)) == pytest.approx((3, 1, 2))


@pytest.mark.parametrize(("places", "origin"), [((3.0, 0.0, 7.0), Origin.CENTRE), ((3.5, 0.5, 7.5), Origin.CORNER)])
def test_places_tell_what_the_origin_is(places: tuple[float, float, float], origin: Origin) -> None:
    assert grids.origin_from(places, "dose") is origin


def test_mixed_places_are_refused() -> None:
    with pytest.raises(errors.TpsRefused, match="where the voxels lie is not known"):
        grids.origin_from((3.0, 0.5, 7.0), "dose")


@dataclass
class Voxels:
    """An ESAPI image or dose as far as its geometry goes."""

    directions: tuple[tuple[float, float, float], ...]
    spacing: float = 2.0
    size: int = 4

    def get(self, name: str) -> object:
        if name == "Origin":
            return (1.0, 2.0, 3.0)
        if name.endswith("Direction"):
            return self.directions["XYZ".index(name[0])]
        return self.spacing if name.endswith("Res") else self.size


@pytest.fixture
def plain_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grids.access, "get", lambda thing, name: thing.get(name))
    monkeypatch.setattr(grids.access, "xyz", lambda vector: vector)
    monkeypatch.setattr(grids.access, "vector", lambda point: point)


@pytest.mark.usefixtures("plain_access")
def test_directions_are_read_with_their_signs() -> None:
    read = grids.lattice(Voxels(((-1, 0, 0), (0, -1, 0), (0, 0, 1))), "image")
    assert read.signs == (-1, -1, 1)


@pytest.mark.usefixtures("plain_access")
@pytest.mark.parametrize(
    "directions",
    [
        ((0.9998, 0.02, 0), (-0.02, 0.9998, 0), (0, 0, 1)),
        ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
        ((float("nan"), 0, 0), (0, 1, 0), (0, 0, 1)),
    ],
)
def test_oblique_and_other_planes_are_refused_by_name(directions: tuple[tuple[float, float, float], ...]) -> None:
    with pytest.raises(errors.CapabilityMissing, match="the planning image is oblique"):
        grids.lattice(Voxels(directions), "the planning image")


@pytest.mark.usefixtures("plain_access")
def test_senseless_voxels_are_refused() -> None:
    with pytest.raises(errors.TpsRefused, match="expected positive numbers"):
        grids.lattice(Voxels(((1, 0, 0), (0, 1, 0), (0, 0, 1)), spacing=0.0), "image")


# numbers to values -----------------------------------------------------------------------------------------------


def test_numbers_are_scaled_along_the_line_offset_included() -> None:
    numbers = np.array([[[0, 10, 1000]], [[7, 500, 3]]], np.int32)
    values = volumes._scaled(numbers, lambda number: -1024.0 + 0.5 * number, "image")
    assert values.dtype == np.float32
    assert np.allclose(values, -1024.0 + 0.5 * numbers)


def test_large_numbers_keep_their_last_digits() -> None:
    numbers = np.array([[[2_000_000_000, 2_000_000_001, 1_999_999_999]]], np.int32)
    values = volumes._scaled(numbers, lambda number: 1e-9 * (number - 2_000_000_000), "dose")
    assert np.allclose(values, [[[0.0, 1e-9, -1e-9]]], atol=1e-12)


def test_one_number_only_is_one_value() -> None:
    assert np.array_equal(volumes._scaled(np.full((2, 2, 2), 3, np.int32), float, "dose"), np.full((2, 2, 2), 3.0))


def test_bent_scale_is_refused() -> None:
    with pytest.raises(errors.TpsRefused, match="straight line"):
        volumes._scaled(np.array([[[0, 50, 100]]], np.int32), lambda number: float(number) ** 2, "dose")


# where the voxels of a dose lie ----------------------------------------------------------------------------------


class Blob:
    """A dose that is a smooth blob, told exactly at any place."""

    def __init__(self, lattice: Lattice, origin: Origin, shift_mm: float = 0.0) -> None:
        self.lattice, self.origin, self._shift_mm = lattice, origin, shift_mm
        nx, ny, nz = lattice.size
        centres = [lattice.centre_mm((x, y, z), origin) for z in range(nz) for y in range(ny) for x in range(nx)]
        self.values = np.array([self._at(*centre) for centre in centres], np.float32).reshape(nz, ny, nx)
        self.hottest = centres[int(self.values.argmax())]

    @staticmethod
    def _at(x: float, y: float, z: float) -> float:
        return 60.0 * math.exp(-((x - 1.0) ** 2) / 40.0 - (y + 9.0) ** 2 / 50.0 - (z - 9.0) ** 2 / 30.0)

    def GetDoseToPoint(self, point: tuple[float, float, float]) -> float:  # noqa: N802 - ESAPI's name
        return self._at(point[0] + self._shift_mm, point[1], point[2])

    def get(self, name: str) -> object:
        assert name == "DoseMax3DLocation"
        return self.hottest


@pytest.mark.usefixtures("plain_access")
@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("lattice", [SUPINE, PRONE])
def test_dose_tells_where_its_voxels_lie(lattice: Lattice, origin: Origin) -> None:
    dose = Blob(lattice, origin)
    assert volumes.dose_origin(dose, lattice, dose.values, float) is origin


@pytest.mark.usefixtures("plain_access")
def test_dose_that_fits_neither_reading_is_refused() -> None:
    dose = Blob(SUPINE, Origin.CENTRE, shift_mm=1.0)
    with pytest.raises(errors.TpsRefused, match="where the voxels of the dose lie is not known"):
        volumes.dose_origin(dose, SUPINE, dose.values, float)


@pytest.mark.usefixtures("plain_access")
def test_flat_dose_that_fits_both_readings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dose = Blob(SUPINE, Origin.CENTRE)
    monkeypatch.setattr(dose, "GetDoseToPoint", lambda _: 2.0)
    with pytest.raises(errors.TpsRefused, match="exactly one was expected"):
        volumes.dose_origin(dose, SUPINE, np.full((4, 9, 12), 2.0, np.float32), float)


@pytest.mark.usefixtures("plain_access")
def test_hottest_voxel_elsewhere_is_refused() -> None:
    dose = Blob(SUPINE, Origin.CENTRE)
    dose.hottest = SUPINE.centre_mm((0, 0, 0), Origin.CENTRE)
    with pytest.raises(errors.TpsRefused, match="hottest voxel"):
        volumes.dose_origin(dose, SUPINE, dose.values, float)


def test_missing_dose_at_the_probed_places_is_no_agreement(plain_access: None, monkeypatch: pytest.MonkeyPatch) -> None:
    dose = Blob(SUPINE, Origin.CENTRE)
    monkeypatch.setattr(dose, "GetDoseToPoint", lambda _: None)
    with pytest.raises(errors.TpsRefused, match="inf Gy off"):
        volumes.dose_origin(dose, SUPINE, dose.values, lambda _: None)
