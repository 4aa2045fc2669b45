"""Derived structures against spheres and slabs, whose grown volumes are known."""

from __future__ import annotations

import numpy as np
import pytest

from sim_tps.errors import BadInput
from sim_tps.geometry import Grid
from sim_tps.patient import Role, Structure
from sim_tps.structures import derive
from tests.sim_tps.shapes import ball, ball_cc, cube_grid, everything, shape

GRIDS = {
    "1 mm": cube_grid(1.0, 34.0, shift=0.3),
    "3 mm": cube_grid(3.0, 36.0, shift=0.3),
    "4 x 4 x 2.5 mm": Grid((-38.7, -39.1, -35.8), (4.0, 4.0, 2.5), (29, 20, 20)),
}


def radius_mm(structure: Structure) -> float:
    """Of a sphere of the structure's volume."""
    return float((0.75 / np.pi * 1000.0 * structure.volume_cc) ** (1.0 / 3.0))


@pytest.mark.parametrize("margin_mm", [-2.0, -1.0, 1.0, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_margins_of_a_sphere(grid, margin_mm):
    """A sphere of 10 mm with a margin has the radius it should to 0.1 mm, even for 1 mm on voxels of 4 mm."""
    made = derive("z", "margin", [ball("PTV", 10.0, grid)], outer_mm=margin_mm, external=everything(grid))
    assert radius_mm(made) == pytest.approx(10.0 + margin_mm, abs=0.1)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_rings_of_a_sphere(grid):
    """Rings 0-2, 3-8 and 8-15 mm around a sphere of 10 mm have the volumes of shells."""
    target, external = ball("PTV", 10.0, grid), everything(grid)
    for inner, outer in ((0.0, 2.0), (3.0, 8.0), (8.0, 15.0)):
        ring = derive("zRing", "ring", [target], inner_mm=inner, outer_mm=outer, external=external)
        assert ring.role is Role.HELPER
        assert ring.volume_cc == pytest.approx(ball_cc(10.0 + outer) - ball_cc(10.0 + inner), rel=0.04)


def test_a_structure_thinner_than_a_voxel_keeps_its_margin():
    """A cochlea of 0.11 cc on 3 mm voxels, at no voxel more than partly inside, still gets its 3 mm."""
    grid = GRIDS["3 mm"]
    made = derive(
        "z", "margin", [ball("Cochlea_L", 3.0, grid, (1.2, 0.7, 0.4))], outer_mm=3.0, external=everything(grid)
    )
    assert radius_mm(made) == pytest.approx(6.0, abs=0.2)


def test_a_margin_of_whole_voxels():
    """A region given as whole voxels grows by its margin to a fifth of a voxel."""
    grid = GRIDS["3 mm"]
    blocks = Structure.from_array("PTV", Role.TARGET, ball("PTV", 12.0, grid).mask(), grid)
    made = derive("z", "margin", [blocks], outer_mm=5.0, external=everything(grid))
    assert radius_mm(made) - radius_mm(blocks) == pytest.approx(5.0, abs=0.6)


def test_a_box_grows_by_the_margin_on_each_side():
    """Along an axis the new edge lies exactly a margin further out, also when that is a fraction of a voxel."""
    grid = GRIDS["3 mm"]
    slab = shape("slab", lambda x, y, z: (np.abs(x) <= 9.0) & (np.abs(y) <= 200.0) & (np.abs(z) <= 200.0), grid)
    made = derive("z", "margin", [slab], outer_mm=1.3, external=everything(grid))
    row = grid.shape[1] // 2
    width_mm = made.on_image()[grid.shape[0] // 2, row].sum() * 3.0
    assert width_mm == pytest.approx(2 * (9.0 + 1.3), abs=0.15)


def test_growing_never_loses_and_shrinking_never_adds():
    """A positive margin holds all of its source, a negative one nothing outside of it."""
    grid = GRIDS["4 x 4 x 2.5 mm"]
    source, external = ball("PTV", 9.0, grid, (3.0, -2.0, 1.0)), everything(grid)
    grown = derive("z", "margin", [source], outer_mm=0.5, external=external).on_image()
    shrunk = derive("z", "margin", [source], outer_mm=-0.5, external=external).on_image()
    assert (grown >= source.on_image() - 1e-6).all()
    assert (shrunk <= source.on_image() + 1e-6).all()


def test_booleans_of_two_spheres():
    """Union, intersection and difference of two overlapping spheres have the volumes of the lens formulas."""
    grid = GRIDS["3 mm"]
    apart, r = 8.0, 10.0
    a, b = ball("A", r, grid, (-apart / 2, 0.0, 0.0)), ball("B", r, grid, (apart / 2, 0.0, 0.0))
    lens_cc = np.pi * (2 * r - apart) ** 2 * (apart**2 + 4 * apart * r) / (12 * apart) / 1000.0
    external = everything(grid)
    assert derive("z", "intersection", [a, b], external=external).volume_cc == pytest.approx(lens_cc, rel=0.03)
    assert derive("z", "union", [a, b], external=external).volume_cc == pytest.approx(
        2 * ball_cc(r) - lens_cc, rel=0.02
    )
    assert derive("z", "difference", [a, b], external=external).volume_cc == pytest.approx(
        ball_cc(r) - lens_cc, rel=0.03
    )


def test_difference_with_itself_and_with_a_neighbour():
    """A structure less itself is empty; less one that only touches it, whole: no slivers along a shared rim."""
    grid, external = GRIDS["3 mm"], everything(GRIDS["3 mm"])
    left = shape("left", lambda x, y, z: (x <= 0.0) & (x**2 + y**2 + z**2 <= 144.0), grid)
    right = shape("right", lambda x, y, z: (x > 0.0) & (x**2 + y**2 + z**2 <= 144.0), grid)
    assert derive("z", "difference", [left, left], external=external).volume_cc < 0.02 * left.volume_cc
    assert derive("z", "difference", [left, right], external=external).volume_cc == pytest.approx(
        left.volume_cc, rel=0.02
    )


def test_difference_keeps_a_distance():
    """An organ less the target grown by 2 mm stays that far away."""
    grid, external = GRIDS["1 mm"], everything(GRIDS["1 mm"])
    made = derive(
        "zBrain", "difference", [ball("Brain", 25.0, grid), ball("PTV", 8.0, grid)], outer_mm=2.0, external=external
    )
    assert made.volume_cc == pytest.approx(ball_cc(25.0) - ball_cc(10.0), rel=0.005)


def test_everything_stays_inside_the_external():
    """A margin that reaches beyond the body ends at its surface."""
    grid = GRIDS["3 mm"]
    body = ball("External", 15.0, grid, role=Role.EXTERNAL)
    made = derive("z", "margin", [ball("PTV", 10.0, grid)], outer_mm=15.0, external=body)
    assert made.volume_cc == pytest.approx(ball_cc(15.0), rel=0.01)


def test_several_sources_are_taken_together():
    """The ring around two targets is not inside either of them."""
    grid, external = GRIDS["1 mm"], everything(GRIDS["1 mm"])
    a, b = ball("A", 6.0, grid, (-9.0, 0.0, 0.0)), ball("B", 6.0, grid, (9.0, 0.0, 0.0))
    ring = derive("zRing", "ring", [a, b], inner_mm=0.0, outer_mm=5.0, external=external).on_image()
    assert (ring * (a.on_image() >= 1.0)).sum() == 0.0
    assert (ring * (b.on_image() >= 1.0)).sum() == 0.0


@pytest.mark.parametrize("kind", ["margin", "ring", "union", "intersection", "difference"])
def test_empty_sources_give_an_empty_structure(kind):
    """Nothing grown is nothing, and nothing less something too."""
    grid = GRIDS["3 mm"]
    empty = Structure.from_array("PTV", Role.TARGET, np.zeros(grid.shape), grid)
    other = empty if kind in ("margin", "ring", "union") else ball("Rectum", 8.0, grid)
    outer = 5.0 if kind in ("margin", "ring", "difference") else 0.0
    assert derive("z", kind, [empty, other], outer_mm=outer, external=everything(grid)).is_empty


def test_growing_to_the_scans_end_is_flagged():
    """A margin that reaches the last slice is marked as cut; one that does not is not."""
    grid, external = GRIDS["3 mm"], everything(GRIDS["3 mm"])
    target = ball("PTV", 10.0, grid, (0.0, 0.0, 20.0))
    assert derive("z", "margin", [target], outer_mm=10.0, external=external).cut_by_image_edge
    assert not derive("z", "margin", [target], outer_mm=1.0, external=external).cut_by_image_edge


def test_the_scans_end_is_no_surface():
    """A cylinder that runs through the whole scan shrinks at its side and keeps its length."""
    grid, external = GRIDS["3 mm"], everything(GRIDS["3 mm"])
    cord = shape("SpinalCord", lambda x, y, z: (x**2 + y**2 <= 144.0) & np.isfinite(z), grid)
    made = derive("z", "margin", [cord], outer_mm=-3.0, external=external)
    assert made.volume_cc / cord.volume_cc == pytest.approx((9.0 / 12.0) ** 2, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "count", "margins", "message"),
    [
        ("grow", 1, {}, "unknown derivation 'grow'"),
        ("margin", 0, {}, "margin of 0 structures, expected at least 1"),
        ("intersection", 1, {}, "expected at least 2"),
        ("margin", 1, {"outer_mm": float("nan")}, "outer_mm is nan"),
        ("margin", 1, {"outer_mm": 5000.0}, "outer_mm is 5000"),
        ("ring", 1, {"inner_mm": 5.0, "outer_mm": 5.0}, "ring from 5 to 5 mm"),
        ("margin", 1, {"inner_mm": 2.0}, "only a ring has one"),
        ("union", 1, {"outer_mm": 2.0}, "a union has none"),
    ],
)
def test_derivations_that_make_no_sense_are_refused(kind, count, margins, message):
    """Unknown kinds, too few sources and impossible margins are refused with the structure's name."""
    grid = GRIDS["3 mm"]
    with pytest.raises(BadInput, match=f"'zX'.*{message}"):
        derive("zX", kind, [ball("PTV", 5.0, grid)] * count, external=everything(grid), **margins)


def test_sources_on_another_image_are_refused():
    """Structures drawn on different images are not mixed."""
    with pytest.raises(BadInput, match="'PTV' is drawn on another image"):
        derive("z", "margin", [ball("PTV", 5.0, GRIDS["1 mm"])], outer_mm=1.0, external=everything(GRIDS["3 mm"]))
