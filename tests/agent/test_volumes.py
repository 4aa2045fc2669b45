"""Voxels for the report: cropping, reading back, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_builder import GRID

from agent.volumes import cropped, cut_to, fetch_reference, fetch_volumes, load_volumes
from bridge import model, testing
from bridge.backends.simulator import Simulator
from bridge.client import Client
from sim_tps.patient import Role, Structure
from tests.phantoms import water_cylinder


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


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A simulated TPS with a patient who brought a dose and a couch, and one who brought neither."""
    bare, treated = water_cylinder("P1"), water_cylinder("P2", with_reference=True)
    couch = Structure.from_array("Couch", Role.SUPPORT, treated.structures["PTV"].on_image(), treated.grid)
    simulator = Simulator(tmp_path / "tps")
    simulator.tps.add_patient(bare)
    simulator.tps.add_patient(replace(treated, structures={**treated.structures, "Couch": couch}))
    with testing.serve(simulator) as server, server.client() as connected:
        yield connected


def test_helpers_and_empty_structures_are_not_fetched(client: Client) -> None:
    """Only what is drawn is fetched: no helper, no couch, nothing empty."""
    ring = model.Derivation(model.DerivationKind.RING, ("patients/P2/structures/PTV",), inner_mm=2.0, outer_mm=10.0)
    with client.session("patients/P2", model.SessionMode.READ_WRITE) as session:
        session.create_structure("zRing", ring)
        structures = session.structures("patients/P2")
        (plan,) = session.plans("patients/P2")
        volumes = fetch_volumes(session, "patients/P2", plan.name, structures)
    assert {s.label for s in structures} == {"External", "PTV", "Rectum", "Empty", "Couch", "zRing"}
    assert set(volumes.masks) == {"External", "PTV", "Rectum"}


def test_a_dose_that_came_with_the_patient_is_the_reference(client: Client) -> None:
    """Its curves are fetched for everything drawn, and are those of that dose."""
    reference = fetch_reference(client, "patients/P2", client.structures("patients/P2"))
    assert reference is not None
    assert set(reference.dvhs) == {"External", "PTV", "Rectum"}
    assert reference.dvhs["PTV"].mean_gy == pytest.approx(60.0, abs=2.0)


def test_a_plan_without_imported_dose_is_no_reference(client: Client) -> None:
    """The patient's own plans count as reference only when their dose was imported."""
    ptv = "patients/P1/structures/PTV"
    prescription = model.Prescription(30, (model.TargetPrescription(ptv, 60.0),))
    with client.session("patients/P1", model.SessionMode.READ_WRITE) as session:
        session.create_plan(model.PlanSpec("mine", prescription, (model.BeamSpec(0.0, isocentre_structure=ptv),)))
        assert len(session.plans("patients/P1")) == 1
        assert fetch_reference(session, "patients/P1", session.structures("patients/P1")) is None
