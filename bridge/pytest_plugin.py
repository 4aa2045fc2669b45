"""Fixtures for anyone's tests: a simulated TPS that runs, and a client of it.

This module is loaded in every pytest run where beamwright is installed, so it imports nothing before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bridge.client import Client
    from bridge.testing import Serving

CASE = "tg119"


@pytest.fixture(scope="session")
def beamwright_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A running simulated TPS with one patient, the TG-119 C-shape; it has ``.endpoint``, ``.token``, ``.client()``."""
    from bridge.backends.simulator import Simulator
    from bridge.testing import serve
    from sim_tps.cases import make_case

    simulator = Simulator(tmp_path_factory.mktemp("beamwright"))
    simulator.tps.add_patient(make_case(CASE))
    with serve(simulator) as server:
        yield server


@pytest.fixture
def beamwright_client(beamwright_server: Serving) -> Iterator[Client]:
    """A client of `beamwright_server`."""
    with beamwright_server.client() as client:
        yield client
