"""DICOM export: files that are whole, that come back the same, and that other software reads alike."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pydicom
import pydicom.dicomio
import pytest
from pydicom.dataset import Dataset

from sim_tps.delivery.delivered import ControlPoint, DeliveredField, Technique
from sim_tps.dvh import DoseVolume
from sim_tps.errors import BadInput, Refused
from sim_tps.exporters import Written, export_dicom
from sim_tps.geometry import Grid
from sim_tps.importers import import_patient
from sim_tps.machine import machines
from sim_tps.patient import Patient, Role, Structure
from sim_tps.plan import Beam, Dose, PlanSettings, Prescription, TargetDose
from tests.sim_tps.shapes import ball, shape

MACHINE = machines()["generic-5mm"]
GRID = Grid((-60.3, -54.0, -40.0), (2.0, 2.5, 2.5), (33, 45, 61))
DOSE_GRID = Grid((-60.0, -54.0, -40.0), (1.5, 1.5, 2.0), (41, 73, 81))
INTENDED_USE = "For research. Not for clinical use without the site's own commissioning."
PAIRS = MACHINE.head.pair_count


def make_patient() -> Patient:
    """A water cylinder with a target, a shell around it (a hole in every slice), a 0.1 cc speck and nothing at all."""
    structures = [
        shape("External", lambda x, y, z: x**2 + y**2 <= 50.0**2 + 0 * z, GRID, Role.EXTERNAL),
        ball("PTV_5000", 15.0, GRID, role=Role.TARGET),
        shape("Shell", lambda x, y, z: abs(np.sqrt(x**2 + y**2 + z**2) - 25.0) <= 5.0, GRID),
        ball("Speck", 2.9, GRID, (30.0, 10.0, 3.0)),
        shape("Nothing", lambda x, y, z: (x > 1000.0) & (y > 0.0) & (z > 0.0), GRID, Role.HELPER),
    ]
    hu = np.where(structures[0].on_image() >= 0.5, 20, -1000).astype(np.int16)
    hu[5, 20, 30] = -1024
    return Patient("P-1", "cylinder", GRID, hu, {s.name: s for s in structures})


def make_dose(kind: str = "final") -> Dose:
    """50 Gy in the middle, falling evenly in all directions."""
    x, y, z = DOSE_GRID.axes_mm
    radius = np.sqrt((x - 1.0)[None, None] ** 2 + y[None, :, None] ** 2 + z[:, None, None] ** 2)
    return Dose((50.0 * np.exp(-((radius / 35.0) ** 2))).astype(np.float32), DOSE_GRID, kind, "made up")


SETTINGS = PlanSettings(
    "plan-1",
    "Ärztin's plan",
    "P-1",
    MACHINE.id,
    (Beam("beam-1", (0.0, 0.0, 0.0), 40.0, 10.0, 350.0), Beam("beam-2", (0.0, 0.0, 0.0), 180.0, label="Posterior")),
    Prescription(25, (TargetDose("PTV_5000", 50.0),)),
    3.0,
    None,
    5.0,
)


def sweep() -> DeliveredField:
    """A 20 mm slit that moves across 80 mm in four steps; no two leaves are at the same place."""
    own = 0.01 * np.arange(PAIRS)
    points = [ControlPoint(k / 4, -40.0 + 20.0 * k + own, -20.0 + 20.0 * k + own) for k in range(5)]
    return DeliveredField("beam-1", 1, 123.456, (-45.0, 65.0, -30.0, 35.0), tuple(points), Technique.SLIDING_WINDOW)


def two_segments(part: int = 1) -> DeliveredField:
    """Two apertures; leaves move between them while no beam is given."""
    first, second = np.full(PAIRS, -10.0), np.full(PAIRS, 10.0)
    stops = ((0.0, first), (0.4, first), (0.4, second), (1.0, second))
    points = tuple(ControlPoint(meterset, tips, tips + 20.0) for meterset, tips in stops)
    return DeliveredField("beam-2", part, 50.0, (-20.0, 40.0, -30.0, 30.0), points, Technique.STEP_AND_SHOOT)


FIELDS = (sweep(), two_segments(1), two_segments(2))


def write(folder: Path, **changed: object) -> tuple[Written, ...]:
    arguments = {"machine": MACHINE, "fields": FIELDS, "intended_use": INTENDED_USE} | changed
    patient = arguments.pop("patient", None) or make_patient()
    dose = arguments.pop("dose", None) or make_dose()
    return export_dicom(folder, patient, SETTINGS, dose, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole export."""
    made = tmp_path_factory.mktemp("export") / "dicom"
    write(made)
    return made


@pytest.fixture
def plan(folder: Path) -> Dataset:
    return pydicom.dcmread(folder / "RP.dcm")


@pytest.fixture
def dicompyler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dicompyler's DVH calculation; its release 0.5.6 asks for a name that pydicom 3 calls ``dcmread``."""
    monkeypatch.setattr(pydicom.dicomio, "read_file", pydicom.dcmread, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from dicompylercore import dicomparser, dvhcalc
    assert dicomparser.DicomParser  # dvhcalc would import it later, and warn then
    return dvhcalc


# ------------------------------------------------------------------------------------------ what the standard asks for

PATIENT_STUDY = {
    1: "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality FrameOfReferenceUID",
    2: "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID "
    "AccessionNumber SeriesNumber Manufacturer PositionReferenceIndicator",
}
PIXELS = "Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel PhotometricInterpretation "
MODULES = {
    "CT.0001.dcm": {
        "": {
            1: PIXELS + "ImageType RescaleIntercept RescaleSlope RescaleType PixelSpacing ImageOrientationPatient "
            "ImagePositionPatient PixelData PatientPosition",
            2: "KVP AcquisitionNumber InstanceNumber SliceThickness",
        }
    },
    "RS.dcm": {
        "": {
            1: "StructureSetLabel StructureSetROISequence ROIContourSequence RTROIObservationsSequence "
            "ReferencedFrameOfReferenceSequence ApprovalStatus",
            2: "StructureSetDate StructureSetTime OperatorsName",
        },
        "ReferencedFrameOfReferenceSequence": {1: "FrameOfReferenceUID RTReferencedStudySequence"},
        "ReferencedFrameOfReferenceSequence RTReferencedStudySequence": {
            1: "ReferencedSOPClassUID ReferencedSOPInstanceUID RTReferencedSeriesSequence"
        },
        "StructureSetROISequence": {1: "ROINumber ReferencedFrameOfReferenceUID", 2: "ROIName ROIGenerationAlgorithm"},
        "ROIContourSequence": {1: "ReferencedROINumber"},
        "ROIContourSequence ContourSequence": {1: "ContourGeometricType NumberOfContourPoints ContourData"},
        "ROIContourSequence ContourSequence ContourImageSequence": {
            1: "ReferencedSOPClassUID ReferencedSOPInstanceUID"
        },
        "RTROIObservationsSequence": {
            1: "ObservationNumber ReferencedROINumber",
            2: "RTROIInterpretedType ROIInterpreter",
        },
    },
    "RP.dcm": {
        "": {
            1: "RTPlanLabel RTPlanGeometry ReferencedStructureSetSequence FractionGroupSequence BeamSequence "
            "ApprovalStatus",
            2: "RTPlanDate RTPlanTime OperatorsName",
        },
        "DoseReferenceSequence": {
            1: "DoseReferenceNumber DoseReferenceStructureType DoseReferenceType ReferencedROINumber"
        },
        "PatientSetupSequence": {1: "PatientSetupNumber PatientPosition"},
        "FractionGroupSequence": {
            1: "FractionGroupNumber NumberOfBeams NumberOfBrachyApplicationSetups ReferencedBeamSequence",
            2: "NumberOfFractionsPlanned",
        },
        "FractionGroupSequence ReferencedBeamSequence": {1: "ReferencedBeamNumber BeamMeterset"},
        "BeamSequence": {
            1: "BeamNumber BeamType BeamLimitingDeviceSequence NumberOfWedges NumberOfCompensators NumberOfBoli "
            "NumberOfBlocks FinalCumulativeMetersetWeight NumberOfControlPoints ControlPointSequence "
            "SourceAxisDistance PrimaryDosimeterUnit ReferencedPatientSetupNumber TreatmentDeliveryType",
            2: "RadiationType TreatmentMachineName",
        },
        "BeamSequence BeamLimitingDeviceSequence": {1: "RTBeamLimitingDeviceType NumberOfLeafJawPairs"},
        "BeamSequence ControlPointSequence": {1: "ControlPointIndex", 2: "CumulativeMetersetWeight"},
        "BeamSequence ControlPointSequence BeamLimitingDevicePositionSequence": {
            1: "RTBeamLimitingDeviceType LeafJawPositions"
        },
    },
    "RD.dcm": {
        "": {
            1: PIXELS
            + "PixelSpacing ImageOrientationPatient ImagePositionPatient NumberOfFrames FrameIncrementPointer "
            "GridFrameOffsetVector DoseUnits DoseType DoseSummationType DoseGridScaling ReferencedRTPlanSequence "
            "PixelData",
            2: "SliceThickness InstanceNumber OperatorsName",
        },
        "ReferencedRTPlanSequence": {1: "ReferencedSOPClassUID ReferencedSOPInstanceUID"},
    },
}
"""File -> path of sequences -> type -> what must be there (1: with a value, 2: maybe empty). DICOM PS3.3 2021d, the
modules of A.3, A.18, A.19 and A.20; conditional ones (1C, 2C) where the condition holds."""
FIRST_CONTROL_POINT = (
    "NominalBeamEnergy DoseRateSet GantryAngle GantryRotationDirection BeamLimitingDeviceAngle "
    "BeamLimitingDeviceRotationDirection PatientSupportAngle PatientSupportRotationDirection TableTopEccentricAngle "
    "TableTopEccentricRotationDirection IsocenterPosition BeamLimitingDevicePositionSequence SourceToSurfaceDistance"
)


@pytest.mark.parametrize("name", MODULES)
def test_every_required_attribute_is_there(folder: Path, name: str) -> None:
    """Type 1 attributes have a value, type 2 attributes are present, in every item of every sequence."""
    dataset = pydicom.dcmread(folder / name)
    absent = []
    for path, types in {"": PATIENT_STUDY, **{f"{path} ": types for path, types in MODULES[name].items()}}.items():
        found = items(dataset, path.split())
        assert found, f"{name}: no item at {path}"
        for kind, keywords in types.items():
            lacking = {1: lacks_value, 2: lacks_element}[kind]
            absent += [f"{path}{k} (type {kind})" for k in keywords.split() if any(lacking(item, k) for item in found)]
    assert absent == []


def lacks_element(item: Dataset, keyword: str) -> bool:
    return keyword not in item


def lacks_value(item: Dataset, keyword: str) -> bool:
    return keyword not in item or item[keyword].is_empty


def items(dataset: Dataset, path: list[str]) -> list[Dataset]:
    """All items at a path of sequences."""
    found = [dataset]
    for keyword in path:
        found = [inner for outer in found for inner in outer.get(keyword, [])]
    return found


def test_the_first_control_point_says_everything(plan: Dataset) -> None:
    """What a beam never changes is said at its first control point, with table positions left to the setup."""
    for beam in plan.BeamSequence:
        first = beam.ControlPointSequence[0]
        assert [k for k in FIRST_CONTROL_POINT.split() if lacks_value(first, k)] == []
        assert not any(
            lacks_element(first, f"TableTop{way}Position") for way in ("Vertical", "Longitudinal", "Lateral")
        )


def test_values_fit_their_representation(folder: Path) -> None:
    """pydicom, told to be strict, reads every element of every file: lengths, characters and UIDs are legal."""
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    try:
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            dataset.walk(lambda _, element: element.value)
    finally:
        pydicom.config.settings.reading_validation_mode = before


def test_every_file_says_what_it_is_for(folder: Path) -> None:
    """The intended use is in each file in words; plan and structures are unapproved, the plan is for research."""
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        words = {dataset.get(k) for k in ("ImageComments", "RTPlanDescription", "StructureSetDescription")}
        assert INTENDED_USE in words, path.name
        assert dataset.get("ApprovalStatus", "UNAPPROVED") == "UNAPPROVED"
        assert dataset.PatientName == dataset.PatientID == "P-1"
    assert pydicom.dcmread(folder / "RP.dcm").PlanIntent == "RESEARCH"


def test_the_files_point_to_each_other(folder: Path) -> None:
    """Contours name their slices, the plan its structures, the dose both, all in one study and frame of reference."""
    files = {path.name: pydicom.dcmread(path) for path in folder.iterdir()}
    slices = {f.SOPInstanceUID: f for f in files.values() if f.Modality == "CT"}
    rs, rp, rd = (files[f"{kind}.dcm"] for kind in ("RS", "RP", "RD"))
    for roi in rs.ROIContourSequence:
        for contour in roi.get("ContourSequence", []):
            image = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            assert set(contour.ContourData[2::3]) == {image.ImagePositionPatient[2]}
    assert rp.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == rs.SOPInstanceUID
    assert rd.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == rp.SOPInstanceUID
    assert rd.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == rs.SOPInstanceUID
    assert (
        len({f.StudyInstanceUID for f in files.values()}) == len({f.FrameOfReferenceUID for f in files.values()}) == 1
    )
    assert len({f.SeriesInstanceUID for f in files.values()}) == 4
    assert len({f.SOPInstanceUID for f in files.values()}) == len(files)


# ------------------------------------------------------------------------------------------ the plan's beams


def test_each_delivered_field_is_a_beam(plan: Dataset) -> None:
    """MU, angles, isocentre, machine and names are those of the field; parts of one field are told apart."""
    group = plan.FractionGroupSequence[0]
    assert group.NumberOfFractionsPlanned == 25
    assert [float(b.BeamMeterset) for b in group.ReferencedBeamSequence] == [123.456, 50.0, 50.0]
    assert [b.BeamName for b in plan.BeamSequence] == ["beam-1", "Posterior part 1", "Posterior part 2"]
    first = plan.BeamSequence[0].ControlPointSequence[0]
    angles = (first.GantryAngle, first.BeamLimitingDeviceAngle, first.PatientSupportAngle)
    assert tuple(map(float, angles)) == (40.0, 10.0, 350.0)
    assert [float(v) for v in first.IsocenterPosition] == [0.0, 0.0, 0.0]
    assert float(first.SourceToSurfaceDistance) == pytest.approx(1000.0 - 50.0, abs=3.0)
    assert (float(first.NominalBeamEnergy), plan.BeamSequence[0].TreatmentMachineName) == (6.0, MACHINE.id)
    assert plan.RTPlanName == "Ärztin's plan"


def test_leaves_and_jaws_are_listed_as_dicom_has_them(plan: Dataset) -> None:
    """Boundaries rise along y; bank X1 comes before X2; every control point of a moving beam has its leaves."""
    beam, field = plan.BeamSequence[0], sweep()
    mlc = beam.BeamLimitingDeviceSequence[2]
    assert np.allclose(mlc.LeafPositionBoundaries, MACHINE.head.leaf_edges_mm)
    jaws_x, jaws_y, _ = beam.ControlPointSequence[0].BeamLimitingDevicePositionSequence
    assert [*map(float, jaws_x.LeafJawPositions), *map(float, jaws_y.LeafJawPositions)] == [-45.0, 65.0, -30.0, 35.0]
    for told, point in zip(beam.ControlPointSequence, field.control_points, strict=True):
        tips = np.array(told.BeamLimitingDevicePositionSequence[-1].LeafJawPositions, float)
        assert np.allclose(tips, np.concatenate([point.left_mm, point.right_mm]))
        assert float(told.CumulativeMetersetWeight) == point.meterset


def test_a_beam_is_dynamic_when_leaves_move_in_it(plan: Dataset) -> None:
    """A sweep is DYNAMIC; segments between which the beam is off are STATIC, as PS3.3 C.8.8.14 has it."""
    assert [beam.BeamType for beam in plan.BeamSequence] == ["DYNAMIC", "STATIC", "STATIC"]


def test_pymedphys_reads_the_same_delivery(plan: Dataset) -> None:
    """Another program finds the MU, angles, jaw and leaf positions that were meant. It knows heads with one pair of
    jaws only, so the x jaws are taken out for it."""
    import pymedphys

    plan.BeamSequence = plan.BeamSequence[:1]
    plan.FractionGroupSequence[0].ReferencedBeamSequence = plan.FractionGroupSequence[0].ReferencedBeamSequence[:1]
    del plan.BeamSequence[0].BeamLimitingDeviceSequence[0]
    read, field = pymedphys.Delivery.from_dicom(plan, fraction_group_number=1), sweep()
    assert np.allclose(read.monitor_units, field.metersets * field.mu)
    assert np.allclose(read.gantry, 40.0)
    assert np.allclose(read.collimator, 10.0)
    # It counts leaves from +y and each jaw and bank away from the axis, Y2 and X2 first.
    assert np.allclose(np.array(read.mlc)[:, ::-1, 0], field.right_mm)
    assert np.allclose(np.array(read.mlc)[:, ::-1, 1], -field.left_mm)
    assert np.allclose(read.jaw, [35.0, 30.0])


def test_fields_must_fit_plan_and_machine(tmp_path: Path) -> None:
    """A field of an unknown beam, with another number of leaves, or without a machine is refused by name."""
    point = ControlPoint(0.0, np.zeros(3), np.zeros(3))
    for changed, told in (
        ({"fields": (replace(sweep(), beam_id="beam-9"),)}, r"no beam 'beam-9'; it has \['beam-1', 'beam-2'\]"),
        ({"fields": (replace(sweep(), control_points=(point,)),)}, "3 and 3 leaves, expected 60"),
        ({"machine": None}, "without the machine"),
    ):
        with pytest.raises(BadInput, match=told):
            write(tmp_path / "dicom", **changed)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------ the way back


def test_image_and_dose_come_back_as_they_were(folder: Path) -> None:
    """HU are equal, dose to 1e-6 of its maximum, grids to a nanometre."""
    patient, dose, read = make_patient(), make_dose(), import_patient(folder)
    assert np.array_equal(read.hu, patient.hu)
    assert read.reference_dose is not None
    assert np.abs(read.reference_dose.dose_gy - dose.gy).max() <= 50e-6
    for there, here in ((read.grid, patient.grid), (read.reference_dose.grid, dose.grid)):
        assert there.shape == here.shape
        assert np.allclose([*there.origin_mm, *there.spacing_mm], [*here.origin_mm, *here.spacing_mm], atol=1e-6)
    assert read.prescription_note == "50 Gy to PTV_5000 in 25 fractions"


@pytest.mark.parametrize("name", ["External", "PTV_5000", "Shell", "Speck"])
def test_structures_come_back_with_volume_and_dvh(folder: Path, name: str) -> None:
    """Volumes agree within 0.5 %, mean, D95, D50 and D2 within 0.15 Gy of 50; holes stay holes, specks stay there."""
    here, there = make_patient().structure(name), import_patient(folder).structure(name)
    dose = make_dose()
    before, after = (DoseVolume.of(each, dose.gy, dose.grid) for each in (here, there))
    assert there.role is here.role
    assert there.volume_cc == pytest.approx(here.volume_cc, rel=0.005)
    assert after.mean == pytest.approx(before.mean, abs=0.15)
    for percent in (95.0, 50.0, 2.0):
        assert after.dose_at_percent(percent) == pytest.approx(before.dose_at_percent(percent), abs=0.15)


def test_whole_voxels_come_back_as_they_were(tmp_path: Path) -> None:
    """A structure known by whole voxels stays the same: holes, voxels that touch at corners, the image's edge."""
    random = np.random.default_rng(7)
    inside = np.zeros(GRID.shape, bool)
    inside[:, 10:30, :] = random.random((GRID.shape[0], 20, GRID.shape[2])) < 0.7
    voxels = Structure.from_array("Voxels", Role.OAR, inside, GRID)
    patient = make_patient()
    write(tmp_path / "dicom", patient=replace(patient, structures={**patient.structures, "Voxels": voxels}))
    there = import_patient(tmp_path / "dicom").structure("Voxels")
    assert np.abs(there.on_image() - inside).max() < 1e-3


def test_an_empty_structure_stays_in_the_list(tmp_path: Path) -> None:
    """It has its name and role, no contours, and the export says so."""
    written = {each.modality: each for each in write(tmp_path / "dicom")}
    assert written["RTSTRUCT"].what.endswith("without contours: Nothing")
    nothing = import_patient(tmp_path / "dicom").structure("Nothing")
    assert nothing.is_empty
    assert nothing.role is Role.HELPER


# ------------------------------------------------------------------------------------------ other software


@pytest.mark.parametrize("roi, name", [(2, "PTV_5000"), (3, "Shell")])
def test_dicompyler_finds_the_same_dvh(folder: Path, dicompyler: ModuleType, roi: int, name: str) -> None:
    """An independent DVH of the files: volume within 3 %, mean, D95 and D2 within 0.7 Gy of 50 (its masks are whole
    pixels of the dose grid, of 1.5 mm here; ours know the rim)."""
    dose = make_dose()
    ours = DoseVolume.of(make_patient().structure(name), dose.gy, dose.grid)
    theirs = dicompyler.get_dvh(str(folder / "RS.dcm"), str(folder / "RD.dcm"), roi, calculate_full_volume=True)
    assert theirs.name == name
    assert theirs.volume == pytest.approx(ours.volume_cc, rel=0.03)
    assert theirs.mean == pytest.approx(ours.mean, abs=0.7)
    assert theirs.D95.value == pytest.approx(ours.dose_at_percent(95.0), abs=0.7)
    assert theirs.D2.value == pytest.approx(ours.dose_at_percent(2.0), abs=0.7)


def test_pymedphys_finds_the_dose_in_its_place(folder: Path) -> None:
    """Axes and values of the dose as another program reads them."""
    import pymedphys

    (z, y, x), gy = pymedphys.dicom.zyx_and_dose_from_dataset(pydicom.dcmread(folder / "RD.dcm"))
    dose = make_dose()
    for read, meant in zip((x, y, z), dose.grid.axes_mm, strict=True):
        assert np.allclose(read, meant)
    assert np.allclose(gy, dose.gy, atol=50e-6)


# ------------------------------------------------------------------------------------------ the folder


def test_the_same_export_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    """Byte for byte; another dose changes the dose's file alone."""
    write(tmp_path / "again")
    write(tmp_path / "hotter", dose=replace(make_dose(), gy=make_dose().gy * np.float32(1.1)))
    names = {path.name for path in folder.iterdir()}

    def differing(other: Path) -> set[str]:
        return {name for name in names if (folder / name).read_bytes() != (other / name).read_bytes()}

    assert differing(tmp_path / "again") == set()
    assert differing(tmp_path / "hotter") == {"RD.dcm"}


def test_without_control_points_there_is_no_plan_file(tmp_path: Path) -> None:
    """Image, structures and dose are written, the dose says that it is of fluence, and the export says what is not."""
    written = {each.modality: each for each in write(tmp_path / "dicom", fields=(), dose=make_dose("intermediate"))}
    assert written["RTPLAN"].files == ()
    assert "not sequenced" in written["RTPLAN"].what
    assert not (tmp_path / "dicom" / "RP.dcm").exists()
    dose = pydicom.dcmread(tmp_path / "dicom" / "RD.dcm")
    assert dose.DoseComment.startswith("INTERMEDIATE")
    assert import_patient(tmp_path / "dicom").reference_dose is not None


def test_only_an_earlier_export_is_replaced_and_only_when_asked(tmp_path: Path) -> None:
    """A folder that holds anything else is never touched, an export only with ``overwrite``."""
    target = tmp_path / "dicom"
    target.mkdir()
    write(target)
    with pytest.raises(Refused, match="holds an earlier export"):
        write(target)
    write(target, fields=(), overwrite=True)
    assert not (target / "RP.dcm").exists()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(Refused, match=r"'notes\.txt', which is no part of an export"):
        write(target, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]


def test_a_dose_that_is_none_leaves_nothing_behind(tmp_path: Path) -> None:
    """Zero everywhere, or not a number, is refused before a file is written."""
    for value in (0.0, np.nan, -1.0):
        with pytest.raises(BadInput, match="expected finite numbers from 0 up"):
            write(tmp_path / "dicom", dose=replace(make_dose(), gy=np.full(DOSE_GRID.shape, value, np.float32)))
    assert list(tmp_path.iterdir()) == []
