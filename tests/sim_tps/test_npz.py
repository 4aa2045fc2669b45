"""npz import: what a sound file becomes, and what each spoilt one is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sim_tps.errors import BadInput
from sim_tps.importers import import_patient
from sim_tps.patient import Role

SHAPE = (8, 10, 12)


def arrays(**changes):
    """A box of water with a target, an organ and a mask that is no structure; ``None`` takes a key out."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 1:9, 1:11] = 0
    target, organ = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    target[3:5, 4:6, 4:6] = True
    organ[:3, 6:8, 6:8] = True
    found = {
        "ct_hu": hu,
        "voxel_size_mm": np.array([3.0, 4.0, 5.0]),
        "structure_names": np.array(["PTV70", "RightParotid", "possible_dose_mask"]),
        "structure_masks": np.stack([np.packbits(mask) for mask in (target, organ, hu > -500)]),
        "reference_dose_gy": np.full(SHAPE, 70.0, np.float32),
        "origin_mm": np.array([-10.0, 20.0, 30.0]),
        "meta": np.array(json.dumps({"dataset": "Test set", "id": "t1", "fractions": 35})),
        **changes,
    }
    return {key: value for key, value in found.items() if value is not None}


def saved(folder: Path, **changes) -> Path:
    path = folder / "patient 1.npz"
    np.savez(path, **arrays(**changes))
    return path


def test_a_sound_file_becomes_a_patient(tmp_path):
    """Order z, y, x becomes x, y, z; masks keep their voxels; names follow the one rule; the dose comes along."""
    patient = import_patient(saved(tmp_path))
    assert patient.id == "patient-1"
    assert patient.label == "Test set t1"
    assert patient.grid.spacing_mm == (5.0, 4.0, 3.0)
    assert patient.grid.origin_mm == (30.0, 20.0, -10.0)
    assert {s.name: s.role for s in patient.structures.values()} == {
        "External": Role.EXTERNAL,
        "PTV_7000": Role.TARGET,
        "Parotid_R": Role.OAR,
    }
    assert patient.structure("PTV_7000").volume_cc == pytest.approx(8 * 0.06)
    assert patient.structure("PTV_7000").first_voxel == (3, 4, 4)
    assert patient.provenance["structure Parotid_R"] == "RightParotid"
    assert patient.prescription_note == "70 Gy to PTV_7000 in 35 fractions (by the targets' names)"
    assert patient.reference_dose is not None
    assert patient.reference_dose.grid == patient.grid


def test_what_was_done_is_told(tmp_path):
    """Derived body, renamed structures, what was left out, the cut organ and the own prescription are findings."""
    codes = {finding.code for finding in import_patient(saved(tmp_path)).findings}
    expected = {"external-derived", "structure-renamed", "structure-ignored", "cut-by-image-edge", "own-prescription"}
    assert expected <= codes


def test_optional_keys_may_be_absent(tmp_path):
    """Without origin, dose and meta the first voxel lies at 0, 0, 0 and there is no reference dose."""
    path = saved(tmp_path, origin_mm=None, reference_dose_gy=None, meta=None)
    patient = import_patient(path, id="T2")
    assert patient.id == "T2"
    assert patient.grid.origin_mm == (0.0, 0.0, 0.0)
    assert patient.reference_dose is None


def test_two_structures_of_one_name_keep_apart(tmp_path):
    """Two spellings of one TG-263 name become two structures, the second numbered."""
    names = np.array(["RightParotid", "Parotid_R", "PAROTID_RT"])
    patient = import_patient(saved(tmp_path, structure_names=names))
    assert {"Parotid_R", "Parotid_R_2", "Parotid_R_3"} <= set(patient.structures)


def test_hu_beyond_the_density_table_are_counted(tmp_path):
    """Voxels with HU that no density table knows are told with their number."""
    hu = arrays()["ct_hu"]
    hu[4, 5, 5:8] = 20000
    (finding,) = [f for f in import_patient(saved(tmp_path, ct_hu=hu)).findings if f.code == "hu-beyond-table"]
    assert finding.message.startswith("3 voxels")


def test_material_beside_the_body_is_told(tmp_path):
    """A couch in the CT, outside the External, is told with its volume and is no part of the body."""
    hu = np.full((20, 60, 40), -1000, np.int16)
    hu[:, 5:30, 5:35] = 0
    hu[:, 45:50, 2:38] = 0
    body = (hu > -500) & (np.arange(60) < 40)[None, :, None]
    path = saved(
        tmp_path,
        ct_hu=hu,
        structure_names=np.array(["PTV"]),
        structure_masks=np.packbits(body)[None],
        reference_dose_gy=None,
    )
    patient = import_patient(path)
    (finding,) = [f for f in patient.findings if f.code == "couch-excluded"]
    assert finding.message.startswith(f"{20 * 5 * 36 * 0.06:.0f} cc")
    assert patient.external.volume_cc == pytest.approx(body.sum() * 0.06, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ct_hu": None}, "no ct_hu"),
        ({"structure_masks": None}, "no structure_masks"),
        ({"ct_hu": np.zeros((4, 4), np.int16)}, r"ct_hu of shape \(4, 4\), expected three axes"),
        ({"ct_hu": np.zeros(SHAPE, np.float32)}, "ct_hu of type float32, expected whole HU"),
        ({"ct_hu": np.zeros(SHAPE, bool)}, "ct_hu of type bool"),
        ({"ct_hu": np.full(SHAPE, 10**6)}, "beyond anything in HU"),
        ({"ct_hu": np.zeros((8, 10, 13), np.int16)}, "structure_masks of type uint8"),
        ({"voxel_size_mm": np.array([3.0, 4.0])}, r"voxel_size_mm of shape \(2,\)"),
        ({"voxel_size_mm": np.array([3.0, -4.0, 5.0])}, "expected 0.1 to 20.0 mm"),
        ({"voxel_size_mm": np.array([0.003, 0.004, 0.005])}, "expected 0.1 to 20.0 mm"),
        ({"voxel_size_mm": np.array([3.0, np.nan, 5.0])}, "finite"),
        ({"voxel_size_mm": np.array(["3", "4", "5"])}, "expected numbers"),
        ({"structure_names": np.array(["A", "B"])}, "for each of 2 names"),
        ({"structure_names": np.array([1, 2, 3])}, "expected a list of strings"),
        ({"structure_masks": np.zeros((3, 960), bool)}, "structure_masks of type bool"),
        ({"reference_dose_gy": np.zeros((2, 2, 2), np.float32)}, "reference_dose_gy of type float32"),
        ({"reference_dose_gy": np.full(SHAPE, -1.0, np.float32)}, "negative or non-finite"),
        ({"meta": np.array("{not json")}, "meta is not JSON"),
        ({"meta": np.array("[1, 2]")}, "meta is a JSON list"),
        ({"ct_hu": np.full(SHAPE, -1000, np.int16)}, "nothing in the image is denser"),
    ],
)
def test_a_spoilt_file_is_refused(tmp_path, changes, message):
    """Missing keys, wrong shapes, unknown types and impossible numbers are refused with what was expected."""
    with pytest.raises(BadInput, match=message):
        import_patient(saved(tmp_path, **changes))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path, share):
    """A file cut short anywhere is refused as that."""
    path = saved(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadInput, match="not a readable npz file"):
        import_patient(path)


def test_a_pickle_is_never_opened(tmp_path):
    """Arrays of Python objects are refused, because reading them could run code."""
    with pytest.raises(BadInput, match="not a readable npz file"):
        import_patient(saved(tmp_path, structure_names=np.array(["A", {}, None], dtype=object)))


def test_a_scan_padded_with_empty_slices_ends_where_the_body_does(tmp_path):
    """An organ that ends with the body's flat end, slices before the image's, is flagged as cut."""
    hu = np.full((12, 30, 30), -1000, np.int16)
    hu[3:10, 2:28, 2:28] = 0
    organ = np.zeros(hu.shape, bool)
    organ[3:6, 10:14, 10:14] = True
    path = saved(
        tmp_path,
        ct_hu=hu,
        structure_names=np.array(["Esophagus"]),
        structure_masks=np.packbits(organ)[None],
        reference_dose_gy=None,
    )
    patient = import_patient(path)
    assert patient.structure("Esophagus").cut_by_image_edge
    (finding,) = [f for f in patient.findings if f.code == "cut-by-image-edge"]
    assert "lower end" in finding.message
