"""The client on an unreliable network, and against the wrong server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bridge import errors, model
from bridge.client import Client, Retry, Tls, connect
from bridge.testing import Serving, serve
from tests.bridge.cuttable_line import CuttableLine, cuttable_line
from tests.bridge.toy_backend import ToyBackend

PATIENT = "patients/P1"
CLINICAL = "patients/P1/plans/clinical"
WRITE = model.SessionMode.READ_WRITE
LOST_ON_THE_WAY_BYTES = 8_000_000
"""gRPC throws away what a broken connection had brought but nobody had read; sending all again would be 14 MB."""


class LargeImage(ToyBackend):
    """Its image takes many chunks."""

    def image(self, patient: str) -> model.Volume:
        grid = replace(super().image(patient).grid, size=(160, 160, 160))
        return model.Volume(grid, np.arange(160**3, dtype=np.float32).reshape(grid.size))


@pytest.fixture
def backend() -> ToyBackend:
    return LargeImage()


@pytest.fixture
def server(backend: ToyBackend) -> Iterator[Serving]:
    with serve(backend) as server:
        yield server


@pytest.fixture
def line(server: Serving) -> Iterator[CuttableLine]:
    with cuttable_line(server.endpoint) as line:
        yield line


@pytest.fixture
def client(server: Serving, line: CuttableLine) -> Iterator[Client]:
    with connect(line.endpoint, server.token) as client:
        client.server_info()
        yield client


def test_a_read_is_asked_again(client: Client, line: CuttableLine) -> None:
    """A connection that breaks during a read costs nothing but time."""
    line.cut_after(1)
    assert [plan.name for plan in client.plans(PATIENT)] == [CLINICAL]
    assert line.cuts == 1


def test_a_write_whose_answer_is_lost_happens_once(client: Client, line: CuttableLine) -> None:
    """It is sent again under the same request id, so the server answers it as it did before."""
    with client.session(PATIENT, WRITE) as session:
        line.cut_after(1)
        copy = session.copy_plan(CLINICAL, "Once")
        assert line.cuts == 1
        assert {plan.name for plan in session.plans(PATIENT)} == {CLINICAL, copy.name}


def test_a_stream_goes_on_where_it_was_cut(backend: ToyBackend, client: Client, line: CuttableLine) -> None:
    """Every byte of a large image arrives, and what had been read is not sent again."""
    sent_before = line.sent_bytes
    line.cut_after(14_000_000)
    image = client.image(PATIENT)
    np.testing.assert_array_equal(image.values, backend.image(PATIENT).values)
    assert line.cuts == 1
    assert line.sent_bytes - sent_before < image.values.nbytes + LOST_ON_THE_WAY_BYTES


def test_a_watch_goes_on_where_it_was_cut(server: Serving) -> None:
    """The wait for an optimisation survives a broken connection, and nothing is told twice."""
    backend = ToyBackend(hold=True, optimize_steps=4)
    seen: list[int | None] = []
    with serve(backend) as holding, cuttable_line(holding.endpoint) as line:

        def go_on(progress: model.Progress) -> None:
            if not seen:
                line.cut_after(1)
            seen.append(progress.iteration)
            backend.go_on.release(4)

        with connect(line.endpoint, holding.token) as client, client.session(PATIENT, WRITE) as session:
            copy = session.copy_plan(CLINICAL, "Watched")
            backend.go_on.release()
            result = session.optimize(copy.name, model.OptimizeSpec(), go_on)
        assert line.cuts == 1
    assert result.iterations == 4
    assert seen == sorted(set(seen), key=lambda iteration: iteration or 0)


def test_nobody_there_names_the_endpoint() -> None:
    """A wrong endpoint is tried a few times, then told."""
    endpoint = f"127.0.0.1:{_free_port()}"
    with (
        connect(endpoint, retry=Retry(attempts=2, first_wait_s=0.01)) as client,
        pytest.raises(errors.TpsUnavailable, match=endpoint),
    ):
        client.server_info()


def test_a_failed_encryption_names_the_certificate(server: Serving, tmp_path: Path) -> None:
    """gRPC says only UNAVAILABLE where the certificate is the trouble, so the message must say where to look."""
    with (
        connect(server.endpoint, server.token, tls=Tls(), retry=Retry(attempts=1)) as client,
        pytest.raises(errors.TpsUnavailable, match="certificate"),
    ):
        client.server_info()


def test_a_server_that_never_answers_meets_the_deadline() -> None:
    """No call waits for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        with connect(endpoint, deadline_s=0.2) as client, pytest.raises(errors.DeadlineExceeded, match=endpoint):
            client.server_info()


def test_a_wrong_token_is_refused(server: Serving) -> None:
    """And not tried again."""
    with connect(server.endpoint, "guessed") as client, pytest.raises(errors.TokenInvalid):
        client.patients()


def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    """A client killed in the middle of its session: when the lease has run out, the patient is free and unchanged."""
    late = timedelta()
    with serve(ToyBackend(), clock=lambda: datetime.now(UTC) + late) as server:
        vanishing = textwrap.dedent(
            f"""
            from bridge.client import connect
            from bridge.model import SessionMode
            with connect({server.endpoint!r}, {server.token!r}) as client:
                with client.session({PATIENT!r}, SessionMode.READ_WRITE, lease_s=600.0) as session:
                    session.copy_plan({CLINICAL!r}, "Never saved")
                    print("copied", flush=True)
                    input()
            """
        )
        with subprocess.Popen(
            [sys.executable, "-c", vanishing], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "copied\n"
            process.send_signal(signal.SIGKILL)
        with server.client() as client:
            with pytest.raises(errors.SessionConflict), client.session(PATIENT, WRITE):
                pass
            late = timedelta(hours=1)
            with client.session(PATIENT, WRITE) as session:
                assert [plan.name for plan in session.plans(PATIENT)] == [CLINICAL]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
