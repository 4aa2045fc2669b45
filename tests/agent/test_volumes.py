"""Voxels for the report: cropping, reading back, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_builder import GRID, PATIENT, PLAN, make_run

from agent.volumes import cropped, cut_to, fetch_reference, fetch_volumes, load_volumes
from bridge import model


def test_cropping_keeps_every_voxel_at_its_place() -> None:
    """The cropped mask holds the same occupancy at the same coordinates, with a rim of zeros."""
    values = np.zeros((21, 25, 31), np.float32)
    values[3:5, 10:14, 20:22] = 0.7
    small = cropped(model.Volume(GRID, values))
    assert small.values.shape == (4, 6, 4)
    assert small.values.sum() == pytest.approx(values.sum())
    assert small.grid.origin_mm == pytest.approx((-60 + 4 * 19, -48 + 4 * 9, -40 + 4 * 2))


def test_an_empty_mask_stays_a_mask() -> None:
    """A structure without voxels is cropped to one empty voxel."""
    assert cropped(model.Volume(GRID, np.zeros((21, 25, 31), np.float32))).values.shape == (1, 1, 1)


def test_the_image_is_cut_to_the_patient_with_some_room() -> None:
    """Voxels further than the margin from the box are left out, those within stay."""
    box = model.Grid((-8.0, -8.0, 0.0), (4.0, 4.0, 4.0), (5, 5, 1))
    cut = cut_to(model.Volume(GRID, np.zeros((21, 25, 31), np.float32)), box, room_mm=10.0)
    assert cut.grid.origin_mm == (-16.0, -16.0, -8.0)
    assert cut.grid.size == (9, 9, 5)


def test_a_damaged_file_is_a_plain_error(tmp_path: Path) -> None:
    """A truncated archive is named, not a traceback from inside numpy."""
    (tmp_path / "volumes.npz").write_bytes(b"PK\x03\x04 half an archive")
    with pytest.raises(ValueError, match=r"volumes\.npz"):
        load_volumes(tmp_path / "volumes.npz")


class _Server:
    """A server with one patient: what the client would answer."""

    def __init__(self) -> None:
        run = make_run()
        assert run.volumes is not None
        self.volumes, self.result = run.volumes, run.result
        self.asked: list[str] = []

    def image(self, patient: str) -> model.Volume:
        assert patient == PATIENT
        return self.volumes.image

    def dose(self, plan: str) -> model.Volume:
        assert plan == PLAN
        return self.volumes.dose

    def mask(self, structure: str) -> model.Volume:
        self.asked.append(structure)
        return self.volumes.masks[structure.rpartition("/")[2]]

    def plans(self, patient: str) -> list[model.Plan]:
        assert patient == PATIENT
        return [self.result.plan]

    def dvh(self, plan: str, structure: str) -> model.Dvh:
        assert plan == PLAN
        return self.result.best_attempt.dvhs[structure.rpartition("/")[2]]


def test_helpers_and_empty_structures_are_not_fetched() -> None:
    """Only what is drawn travels: no helper, no couch, nothing empty."""
    server = _Server()
    extra = [
        model.Structure(f"{PATIENT}/structures/zRing", "zRing", model.StructureRole.HELPER, 3.0, None, False),
        model.Structure(f"{PATIENT}/structures/Couch", "Couch", model.StructureRole.SUPPORT, 3.0, None, False),
        model.Structure(f"{PATIENT}/structures/Lens", "Lens", model.StructureRole.OAR, 0.0, None, True),
    ]
    volumes = fetch_volumes(server, PATIENT, PLAN, [*server.result.structures, *extra])
    assert list(volumes.masks) == ["Body", "PTV", "SpinalCord", "Parotid_L"]
    assert len(server.asked) == 4


def test_a_plan_without_imported_dose_is_no_reference() -> None:
    """The patient's own plans count as reference only when their dose was imported."""
    server = _Server()
    assert fetch_reference(server, PATIENT, server.result.structures) is None
