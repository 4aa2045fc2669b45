"""The built-in cases are people a dosimetrist would believe, the same ones every time."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from sim_tps.cases import CASES, cohort, make_case
from sim_tps.cases.abdomen import LARGE_SEEDS
from sim_tps.errors import BadInput, NotFound
from sim_tps.naming import tg263_name
from sim_tps.patient import Patient, Role, Structure

PATIENTS = ("brain-srs", "head-and-neck", "prostate", "liver")

HUMAN_CC = {
    "brain-srs": {
        "Brain": (1200, 1800),
        "Brainstem": (20, 35),
        "OpticChiasm": (0.3, 0.8),
        "OpticNrv_L": (0.5, 1.0),
        "OpticNrv_R": (0.5, 1.0),
        "Cochlea_L": (0.1, 0.2),
        "Cochlea_R": (0.1, 0.2),
        "Eye_L": (6.3, 9.0),
        "Eye_R": (6.3, 9.0),
        "Lens_L": (0.14, 0.28),
        "Lens_R": (0.14, 0.28),
        "PTV": (0.4, 16),
    },
    "head-and-neck": {
        "Brainstem": (20, 35),
        "SpinalCord": (15, 35),
        "Parotid_L": (20, 45),
        "Parotid_R": (20, 45),
        "Bone_Mandible": (50, 90),
        "Larynx": (15, 40),
        "Glnd_Submand_L": (5, 14),
        "Glnd_Submand_R": (5, 14),
        "Cavity_Oral": (50, 130),
        "Pharynx": (10, 35),
        "Esophagus": (8, 25),
        "PTV_7000": (60, 350),
        "PTV_6300": (60, 350),
        "PTV_5600": (60, 350),
        "PTV_4400": (120, 500),
    },
    "prostate": {
        "PTV": (100, 230),
        "Bladder": (100, 350),
        "Rectum": (50, 115),
        "Femur_Head_L": (45, 110),
        "Femur_Head_R": (45, 110),
        "PenileBulb": (3, 9),
    },
    "liver": {
        "Liver": (1000, 1800),
        "Kidney_L": (110, 230),
        "Kidney_R": (110, 230),
        "Stomach": (150, 600),
        "Duodenum": (30, 110),
        "SpinalCord": (8, 30),
        "PTV": (15, 150),
    },
}
"""Volumes of adults, cc; the prostate's rectum from anus to sigmoid, the cord as far as the scan reaches."""


@cache
def patient(case: str, seed: int | None = None) -> Patient:
    return make_case(case, seed)


def shared_cc(a: Structure, b: Structure) -> float:
    return float(np.minimum(a.on_image(), b.on_image()).sum(dtype=np.float64)) * a.image_grid.voxel_cc


def doubled_cc(a: Structure, b: Structure) -> float:
    """What both claim of voxels that cannot hold both; voxels shared at a common border do not count."""
    return float(np.maximum(a.on_image() + b.on_image() - 1.0, 0.0).sum(dtype=np.float64)) * a.image_grid.voxel_cc


def gap_mm(a: Structure, b: Structure) -> float:
    """Shortest way between voxels of two structures."""
    away = ndimage.distance_transform_edt(~a.mask(), sampling=a.image_grid.spacing_mm[::-1])
    return float(away[b.mask()].min())


@pytest.mark.parametrize("case", PATIENTS)
def test_volumes_are_human(case: str) -> None:
    """Every organ of the default patient has a volume found in adults."""
    for name, (low, high) in HUMAN_CC[case].items():
        assert low <= patient(case).structure(name).volume_cc <= high, name


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", PATIENTS)
def test_volumes_are_human_in_a_cohort(case: str) -> None:
    """So has every third patient of the cohort, and no two of them are the same."""
    bodies, seeds = set(), [seed for seed, _note in cohort(case)[::3]]
    for seed in seeds:
        one = make_case(case, seed)
        for name, (low, high) in HUMAN_CC[case].items():
            assert low <= one.structure(name).volume_cc <= high, (seed, name)
        bodies.add(one.external.volume_cc)
    assert len(bodies) == len(seeds)


@pytest.mark.parametrize("case", CASES)
def test_names_follow_tg263(case: str) -> None:
    """A structure carries the name that TG-263 gives it, so protocols find it unasked."""
    given = [name for name, s in patient(case).structures.items() if s.role is Role.OAR and case != "tg119"]
    assert [tg263_name(name) for name in given] == given


@pytest.mark.parametrize("case", CASES)
def test_image_is_a_ct(case: str) -> None:
    """CT numbers run from air to bone (water for the phantom); the body's rim is on the image at both sides."""
    one = patient(case)
    external = one.external.mask()
    assert one.hu.min() == -1000
    assert one.hu.max() <= 3000
    assert np.all(one.hu[~external & (one.external.on_image() == 0)] == -1000)
    assert not external[:, [0, -1]].any()
    assert not external[:, :, [0, -1]].any()
    if case != "tg119":
        assert one.hu[external].max() > 600
        assert -120 < np.median(one.hu[external]) < 60


@pytest.mark.parametrize("case", CASES)
def test_structures_lie_in_the_body(case: str) -> None:
    """No organ and no target reaches out of the skin."""
    one = patient(case)
    for structure in one.structures.values():
        if structure.role is not Role.EXTERNAL:
            assert shared_cc(structure, one.external) > 0.995 * structure.volume_cc, structure.name


@pytest.mark.parametrize("case", PATIENTS)
def test_left_is_left(case: str) -> None:
    """In DICOM coordinates x grows to the patient's left: of pairs, and of liver and heart."""
    one = patient(case)
    for name in one.structures:
        if name.endswith("_L"):
            assert one.structure(name).centre_mm()[0] > 0 > one.structure(f"{name[:-2]}_R").centre_mm()[0]
    if case == "liver":
        assert one.structure("Liver").centre_mm()[0] < -20 < 10 < one.structure("Heart").centre_mm()[0]


def test_front_is_front_and_up_is_up() -> None:
    """y grows to the back and z to the head: eyes before brainstem before cord, eyes above the cord."""
    head = patient("brain-srs")
    eye, stem, cord = (head.structure(n).centre_mm() for n in ("Eye_L", "Brainstem", "SpinalCord"))
    assert eye[1] < stem[1] < cord[1]
    assert eye[2] > cord[2]


def test_same_seed_same_patient() -> None:
    """A seed is a person: made twice, every voxel and every contour is equal; another seed is someone else."""
    first, again, other = patient("prostate"), make_case("prostate"), patient("prostate", 100)
    assert np.array_equal(first.hu, again.hu)
    assert first.structures.keys() == again.structures.keys()
    assert all(np.array_equal(s.on_image(), again.structure(n).on_image()) for n, s in first.structures.items())
    assert first.id == again.id != other.id
    assert first.structure("PTV").volume_cc != other.structure("PTV").volume_cc


def test_fine_structures_keep_their_volume_on_a_coarse_image() -> None:
    """Organs of the 1.25 mm head scan and the 2.5 mm neck scan agree within what people vary."""
    fine, coarse = patient("brain-srs"), patient("head-and-neck")
    for name in ("Lens_L", "Cochlea_L", "OpticChiasm"):
        assert coarse.structure(name).volume_cc == pytest.approx(fine.structure(name).volume_cc, rel=0.4)


def test_tg119_has_the_published_dimensions() -> None:
    """Core 1 cm × 10 cm, target from 1.5 to 3.7 cm and 8 cm long round it, nothing drawn at random."""
    phantom = patient("tg119")
    core, target = phantom.structure("Core"), phantom.structure("OuterTarget")
    assert core.volume_cc == pytest.approx(np.pi * 1.0**2 * 10, rel=0.02)
    assert target.volume_cc == pytest.approx(np.pi * (3.7**2 - 1.5**2) * 8 * 210 / 360, rel=0.02)
    assert shared_cc(core, target) == 0
    assert gap_mm(core, target) == pytest.approx(5.0, abs=2.5)
    assert target.centre_mm()[1] < core.centre_mm()[1]
    assert np.array_equal(phantom.hu, make_case("tg119", 5).hu)


def test_srs_ptv_is_the_gtv_and_a_millimetre() -> None:
    """The PTV holds the GTV, and its volume is that of a shell about 1 mm thick."""
    head = patient("brain-srs")
    gtv, ptv = head.structure("GTV"), head.structure("PTV")
    assert shared_cc(gtv, ptv) == pytest.approx(gtv.volume_cc, rel=0.01)
    radius = [np.cbrt(3 * s.volume_cc * 1000 / (4 * np.pi)) for s in (gtv, ptv)]
    assert radius[1] - radius[0] == pytest.approx(1.0, abs=0.2)


def test_srs_targets_stay_out_of_brainstem_and_optics() -> None:
    """A metastasis lies in the brain, beside the organs that limit the dose and not in them."""
    head = patient("brain-srs")
    gtv = head.structure("GTV")
    assert shared_cc(gtv, head.structure("Brain")) > 0.97 * gtv.volume_cc
    for name in ("Brainstem", "OpticChiasm", "OpticNrv_L", "OpticNrv_R"):
        assert shared_cc(gtv, head.structure(name)) == 0


def test_brain_ends_at_the_skull_base() -> None:
    """Brain holds no bone, cochleae are all bone, and before and below them there is no more brain."""
    head = patient("brain-srs")
    brain = head.structure("Brain").mask()
    assert not (brain & (head.hu > 200)).any()
    cochleae = [head.structure(f"Cochlea_{side}") for side in "LR"]
    assert all((head.hu[cochlea.mask()] > 200).all() for cochlea in cochleae)
    _x, y, z = np.mean([cochlea.centre_mm() for cochlea in cochleae], axis=0)
    _x_mm, y_mm, z_mm = head.grid.axes_mm
    assert not brain[z_mm < z - 10][:, y_mm < y - 8].any()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_srs_cohort_is_as_hard_as_it_says() -> None:
    """Ordinary PTVs have 0.5-5 cc and a third lie within 5 mm of brainstem or optics; marked ones have 8-15 cc."""
    close = 0
    ordinary = [seed for seed, note in cohort("brain-srs") if not note]
    for seed in ordinary:
        head = make_case("brain-srs", seed)
        assert 0.4 <= head.structure("PTV").volume_cc <= 5.5
        organs = ("Brainstem", "OpticChiasm", "OpticNrv_L", "OpticNrv_R")
        close += min(gap_mm(head.structure("PTV"), head.structure(n)) for n in organs) <= 5.0
    assert 0.25 <= close / len(ordinary) <= 0.6
    for seed, note in cohort("brain-srs"):
        if note:
            assert 7.5 <= make_case("brain-srs", seed).structure("PTV").volume_cc <= 15.5


@pytest.mark.slow
def test_several_metastases_are_numbered() -> None:
    """A patient of the several-metastases seeds has PTV1, PTV2, ... and no PTV."""
    names = make_case("brain-srs", 8000).structures
    assert {"GTV1", "PTV1", "GTV2", "PTV2"} <= names.keys()
    assert "PTV" not in names


def test_head_and_neck_dose_levels_do_not_overlap() -> None:
    """Each lower PTV has the higher ones cut out; PTV_4400 is what the two lower levels cover."""
    neck = patient("head-and-neck")
    levels = [neck.structure(name) for name in ("PTV_7000", "PTV_6300", "PTV_5600")]
    for higher, lower in pairwise(levels):
        assert doubled_cc(higher, lower) < 0.01
    elective = neck.structure("PTV_4400")
    assert elective.volume_cc == pytest.approx(levels[1].volume_cc + levels[2].volume_cc, rel=0.03)
    assert doubled_cc(elective, levels[0]) < 0.01


def test_head_and_neck_targets_take_part_of_a_parotid() -> None:
    """The PTVs overlap at least one parotid, stay out of brainstem and cord, and 5 mm below the skin."""
    neck = patient("head-and-neck")
    targets = [neck.structure(name) for name in ("PTV_7000", "PTV_6300", "PTV_5600")]
    overlap = [sum(shared_cc(t, neck.structure(f"Parotid_{s}")) for t in targets) for s in "LR"]
    assert max(overlap) > 1.0
    depth = ndimage.distance_transform_edt(neck.external.mask(), sampling=neck.grid.spacing_mm[::-1])
    for target in targets:
        assert depth[target.mask()].min() >= 3.5
        assert shared_cc(target, neck.structure("Brainstem")) == shared_cc(target, neck.structure("SpinalCord")) == 0


@pytest.mark.parametrize("seed", [None, 100])
def test_prostate_ptv_overlaps_the_rectum(seed: int | None) -> None:
    """5-15 % of the rectum lie in the PTV, and some of the bladder."""
    pelvis = patient("prostate", seed)
    rectum, bladder, ptv = (pelvis.structure(n) for n in ("Rectum", "Bladder", "PTV"))
    assert 0.05 <= shared_cc(ptv, rectum) / rectum.volume_cc <= 0.15
    assert shared_cc(ptv, bladder) > 0.5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_prostate_ptv_overlaps_the_rectum_in_a_cohort() -> None:
    """The same for every patient of the cohort."""
    for seed, _note in cohort("prostate"):
        test_prostate_ptv_overlaps_the_rectum(seed)


def test_liver_target_lies_in_the_liver() -> None:
    """The GTV is inside the liver and at least 700 cc of liver are outside the PTV."""
    trunk = patient("liver")
    liver, gtv = trunk.structure("Liver"), trunk.structure("GTV")
    assert shared_cc(gtv, liver) > 0.97 * gtv.volume_cc
    assert liver.volume_cc - trunk.structure("PTV").volume_cc > 700


@pytest.mark.parametrize("seed", LARGE_SEEDS[:2])
def test_large_liver_metastases_lie_in_the_right_lobe(seed: int) -> None:
    """A patient of the large seeds has a PTV of 180-280 cc, its GTV in the liver, and 700 cc of liver outside."""
    trunk = patient("liver", seed)
    liver, gtv, ptv = (trunk.structure(name) for name in ("Liver", "GTV", "PTV"))
    assert 180 <= ptv.volume_cc <= 280
    assert shared_cc(gtv, liver) > 0.97 * gtv.volume_cc
    assert gtv.centre_mm()[0] < -40
    assert liver.volume_cc - ptv.volume_cc > 700


def test_cohorts_have_the_sizes_of_the_studies() -> None:
    """41 radiosurgery patients of whom four are marked, 20 and 20; all seeds differ."""
    sizes = {name: len(cohort(name)) for name in CASES}
    assert sizes == {"brain-srs": 41, "head-and-neck": 20, "prostate": 20, "liver": 5, "tg119": 1}
    assert sum("cannot be met" in note for _seed, note in cohort("brain-srs")) == 4
    assert all(len({seed for seed, _note in cohort(name)}) == sizes[name] for name in CASES)


def test_unknown_cases_and_negative_seeds_are_refused() -> None:
    """The refusal lists the cases there are, or names the seed."""
    with pytest.raises(NotFound, match="brain-srs"):
        make_case("brain")
    with pytest.raises(NotFound, match="tg119"):
        cohort("brain")
    with pytest.raises(BadInput, match="-1"):
        make_case("prostate", -1)
