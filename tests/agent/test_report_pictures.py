"""Planes and DVH marks: geometry that a reader of the pictures relies on."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib import image as mpl_image
from matplotlib.colors import to_rgb
from run_builder import GRID, HOT_SPOT_MM, make_run

from agent.records import GoalResult, GoalStatus
from agent.report.anatomy import hot_spot, in_brain, overlap_percent
from agent.report.dvh_plot import Curves, dvh_figure, goal_mark
from agent.report.page import colours_of, prescription_gy
from agent.report.palette import ISODOSE_COLOUR, structure_colours
from agent.report.pictures import Scene, isodose_levels, planes_png
from agent.report.planes import AXIAL, CORONAL, SAGITTAL, Orientation, around_body, close_up, cut
from agent.run_folder import Run
from bridge import model


def _ramp(axis: int) -> model.Volume:
    """A volume whose value is the coordinate (mm) along one patient axis."""
    coordinates = GRID.origin_mm[axis] + GRID.spacing_mm[axis] * np.arange(GRID.size[axis])
    shape = [1, 1, 1]
    shape[2 - axis] = -1
    return model.Volume(GRID, np.broadcast_to(coordinates.reshape(shape), GRID.size[::-1]).astype(np.float32))


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL])
def test_a_cut_between_slices_is_linear(orientation: Orientation) -> None:
    """A cut a third of the way between two slices of a ramp has the ramp's value there."""
    at_mm = GRID.origin_mm[orientation.normal] + GRID.spacing_mm[orientation.normal] * 4.3333
    plane = cut(_ramp(orientation.normal), orientation, at_mm)
    assert plane is not None
    assert plane.values == pytest.approx(at_mm, abs=1e-3)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL])
def test_a_cut_knows_its_axes(orientation: Orientation) -> None:
    """Across and up the picture run the axes the orientation names."""
    for axis, pick in ((orientation.across, 1), (orientation.along, 0)):
        plane = cut(_ramp(axis), orientation, 0.0)
        assert plane is not None
        coordinates = plane.h_mm if pick == 1 else plane.v_mm[:, None]
        assert plane.values == pytest.approx(np.broadcast_to(coordinates, plane.values.shape))


def test_a_cut_outside_the_volume_is_none() -> None:
    """Half a voxel beyond the last slice nothing is drawn."""
    assert cut(_ramp(2), AXIAL, -42.1) is None


def test_the_hot_spot_names_structure_and_distance() -> None:
    """Inside the target the distance is 0; moved out, it is that to the target's nearest voxel face."""
    run = make_run()
    assert run.volumes is not None
    info = run.result.best_attempt.dose
    inside = hot_spot(run.volumes, run.result.structures, info)
    assert (inside.position_mm, inside.inside, inside.distance_mm) == (HOT_SPOT_MM, ("PTV",), 0.0)
    outside = hot_spot(run.volumes, run.result.structures, replace(info, max_position_mm=(0.0, 30.0, 0.0)))
    assert outside.inside == ("SpinalCord",)
    assert outside.target == "PTV"
    assert outside.distance_mm == pytest.approx(30.0 - 16.0 - 2.0)


def test_overlap_is_counted_voxel_by_voxel() -> None:
    """The gland's share inside the target equals the count on the whole grid; the cord has none."""
    run = make_run()
    assert run.volumes is not None
    z, y, x = np.meshgrid(*(GRID.origin_mm[a] + 4.0 * np.arange(GRID.size[a]) for a in (2, 1, 0)), indexing="ij")
    gland, target = (x - 24) ** 2 + y**2 + z**2 <= 100, x**2 + y**2 + z**2 <= 324
    found = overlap_percent(run.volumes, run.result.structures)
    assert list(found) == ["Parotid_L"]
    assert found["Parotid_L"] == pytest.approx(100.0 * (gland & target).sum() / gland.sum())


def test_a_close_up_stays_in_the_image() -> None:
    """A point near the edge gives a box that ends where the image does."""
    run = make_run()
    assert run.volumes is not None
    box = close_up(run.volumes, run.result.structures, (58.0, 0.0, 0.0))
    assert box.high_mm[0] == 62.0
    assert box.low_mm[0] == 28.0


@pytest.mark.parametrize(
    ("metric", "comparator", "limit", "unit", "point"),
    [
        ("D95%[Gy]", ">=", 60.0, "Gy", (60.0, 95.0)),
        ("D2cc[Gy]", "<=", 45.0, "Gy", (45.0, 10.0)),
        ("D2%[%]", "<=", 107.0, "%", (64.2, 2.0)),
        ("V20Gy[%]", "<=", 30.0, "%", (20.0, 30.0)),
        ("V12Gy[cc]", "<=", 5.0, "cc", (12.0, 25.0)),
        ("Max[Gy]", "<=", 50.0, "Gy", (50.0, 0.0)),
    ],
)
def test_a_goal_stands_where_its_curve_must_pass(
    metric: str, comparator: str, limit: float, unit: str, point: tuple[float, float]
) -> None:
    """Dose and volume of the mark follow from metric and limit, for a structure of 20 cc and 60 Gy prescribed."""
    goal = GoalResult("Organ", metric, comparator, limit, unit, 1, GoalStatus.MET, 1.0)
    mark = goal_mark(goal, {"Organ": _curve(20.0)}, 60.0)
    assert mark is not None
    assert (mark.dose_gy, mark.volume_percent) == pytest.approx(point)
    assert mark.wants_less == (comparator == "<=")


@pytest.mark.parametrize("metric", ["Mean[Gy]", "CI Paddick", "not a metric"])
def test_what_is_no_point_of_the_plane_has_no_mark(metric: str) -> None:
    """Means, indices and metrics of other programs are left to the table."""
    goal = GoalResult("Organ", metric, "<=", 1.0, "", 1, GoalStatus.MET, 1.0)
    assert goal_mark(goal, {"Organ": _curve(20.0)}, 60.0) is None


def _curve(volume_cc: float) -> model.Dvh:
    info = model.DoseInfo(model.DoseKind.INTERMEDIATE)
    return model.Dvh("s", info, volume_cc, np.array([0.0, 50.0]), np.array([100.0, 0.0]))


def test_isodoses_above_the_maximum_are_not_promised() -> None:
    """The key lists only levels that the plan reaches."""
    scene = _scene(make_run())
    assert isodose_levels(scene)[-1] == 110.0
    assert isodose_levels(replace(scene, prescription_gy=120.0))[-1] == 50.0


def test_colours_do_not_depend_on_the_company() -> None:
    """An organ keeps its colour when other structures come and go; targets are ranked by their dose."""
    structures = make_run().result.structures
    everything = structure_colours(structures, ["PTV"])
    alone = structure_colours([s for s in structures if s.label == "SpinalCord"], [])
    assert alone["SpinalCord"] == everything["SpinalCord"]
    assert len(set(everything.values())) == len(everything)


def test_left_and_right_are_told_apart() -> None:
    """A pair of organs has two colours, whichever naming the data use."""
    pairs = [("Femur_Head_L", "Femur_Head_R"), ("LeftParotid", "RightParotid"), ("Lens_L", "Lens_R")]
    for names in pairs:
        organs = [model.Structure(f"s/{name}", name, model.StructureRole.OAR, 1.0, None, False) for name in names]
        assert len(set(structure_colours(organs, []).values())) == 2


PAIRED = ("Eye", "Lens", "OpticNrv", "Cochlea", "Parotid", "Lung", "Glnd_Submand")
HEAD_AND_NECK = [f"{organ}_{side}" for organ in PAIRED for side in "LR"]
HEAD_AND_NECK += ["Brain", "Brainstem", "OpticChiasm", "SpinalCord", "Bone_Mandible", "Cavity_Oral", "Larynx"]
HEAD_AND_NECK += ["Pharynx", "Esophagus", "Glnd_Thyroid"]
ABDOMEN = ["Lung_L", "Lung_R", "SpinalCord", "Liver", "Spleen", "Heart", "Esophagus", "Stomach", "Duodenum"]
ABDOMEN += ["Bowel_Small", "Bowel_Large", "Kidney_L", "Kidney_R", "Kidneys"]


@pytest.mark.parametrize("organs", [HEAD_AND_NECK, ABDOMEN])
def test_no_two_structures_of_a_patient_look_alike(organs: list[str]) -> None:
    """With five targets beside them, any two colours differ by more than the eye needs side by side."""
    roles = {**dict.fromkeys(organs, model.StructureRole.OAR), **dict.fromkeys("abcde", model.StructureRole.TARGET)}
    listed = [model.Structure(f"s/{name}", name, role, 1.0, None, False) for name, role in roles.items()]
    colours = structure_colours(listed, ["a", "b", "c"])
    assert min(_difference(colours[one], colours[two]) for one, two in combinations(colours, 2)) > 0.05


def test_targets_cannot_be_taken_for_isodoses() -> None:
    """Every target colour is far from every isodose colour, much farther than neighbours of one family."""
    targets = [model.Structure(f"s/{n}", n, model.StructureRole.TARGET, 1.0, None, False) for n in "abcdef"]
    colours = structure_colours(targets, ["a", "b", "c"]).values()
    assert min(_difference(target, line) for target in colours for line in ISODOSE_COLOUR.values()) > 0.15


def _difference(one: str, two: str) -> float:
    """Distance in Oklab (Ottosson 2020), where 0.02 is about the least the eye sees."""
    return float(np.linalg.norm(_oklab(one) - _oklab(two)))


def _oklab(colour: str) -> np.ndarray:
    encoded = np.array(to_rgb(colour))
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    axes = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(axes) @ np.cbrt(np.array(cones) @ linear)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL])
def test_a_plane_shows_the_whole_body_with_equal_margins(orientation: Orientation) -> None:
    """Around the body's own extent in that cut there are 10 mm on every side."""
    run = make_run()
    assert run.volumes is not None
    body = run.volumes.masks["Body"]
    box = around_body(run.volumes, body, orientation, 0.0)
    outline = cut(body, orientation, 0.0)
    assert outline is not None
    h, v = outline.h_mm[outline.values.any(axis=0)], outline.v_mm[outline.values.any(axis=1)]
    assert box.span(orientation.across) == pytest.approx((h[0] - 10.0, h[-1] + 10.0))
    assert box.span(orientation.along) == pytest.approx((v[0] - 10.0, v[-1] + 10.0))


def test_the_window_is_narrow_only_for_targets_in_the_brain() -> None:
    """A patient with a contoured brain but a target elsewhere is no brain case."""
    run = make_run()
    assert run.volumes is not None
    around = tuple(replace(s, tg263_name="Brain") if s.label == "Body" else s for s in run.result.structures)
    beside = tuple(replace(s, tg263_name="Brain") if s.label == "SpinalCord" else s for s in run.result.structures)
    assert in_brain(run.volumes, around)
    assert not in_brain(run.volumes, beside)


def test_every_curve_of_a_dvh_is_named() -> None:
    """Thirty organs have thirty names below the plot; one that gets nothing and has no goal is named as not drawn."""
    reached = replace(_curve(20.0), dose_gy=np.array([0.0, 30.0, 50.0]), volume_percent=np.array([100.0, 40.0, 0.0]))
    warm = {f"Organ {number}": reached for number in range(30)}
    cold = replace(_curve(5.0), dose_gy=np.array([0.0, 0.5, 1.0]), volume_percent=np.array([100.0, 0.0, 0.0]))
    goal = GoalResult("Asked", "D0.03cc[Gy]", "<=", 7.0, "Gy", 1, GoalStatus.MET, 0.5)
    dvhs = {**warm, "Far": cold, "Asked": cold}
    drawn = dvh_figure([Curves("plan", dvhs, "-")], [goal], dict.fromkeys(dvhs, "#1f77d4"), [], 60.0, "svg").decode()
    assert [label for label in dvhs if f"<!-- {label} -->" not in drawn] == ["Far"]
    assert "<!-- Not drawn, as they have no goal and nowhere more than 3 Gy: Far -->" in drawn


def test_planes_show_dose_where_it_is() -> None:
    """The picture is in colour (dose) over the target and grey (CT alone) where there is no dose."""
    run = make_run()
    scene = _scene(run)
    pixels = mpl_image.imread(
        io.BytesIO(planes_png(scene, (0.0, 0.0, 0.0), [close_up(scene.volumes, scene.structures, (0.0, 0.0, 0.0))] * 3))
    )
    cold = replace(scene.volumes, dose=model.Volume(scene.volumes.dose.grid, scene.volumes.dose.values * 0.001))
    bare = mpl_image.imread(
        io.BytesIO(
            planes_png(
                replace(scene, volumes=cold),
                (0.0, 0.0, 0.0),
                [close_up(cold, scene.structures, (0.0, 0.0, 0.0))] * 3,
            )
        )
    )
    height, width = pixels.shape[:2]
    patch = np.s_[height // 3 : height // 3 + 20, width // 6 - 40 : width // 6 - 20, :3]
    assert np.ptp(pixels[patch], axis=2).min() > 0.05
    assert np.ptp(bare[patch], axis=2).max() < 0.01


def _scene(run: Run) -> Scene:
    assert run.volumes is not None
    return Scene(run.volumes, run.result.structures, colours_of(run), prescription_gy(run.result))
