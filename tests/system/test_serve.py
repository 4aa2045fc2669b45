"""The commands around the simulated TPS, as processes of their own."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge import INTENDED_USE, model
from bridge.client import connect
from bridge.data_folder import FolderInUse, held
from bridge.launch import LaunchFailed, launch
from tests.sim_tps import dicom_sets as sets

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "bridge.cli"]
PATIENT = "patients/tg119-0"


@pytest.fixture
def people_server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`serve` as a person starts it, with the TG-119 case, and where it says that it listens."""
    command = [*COMMAND, "serve", "--writable", "--case", "tg119", "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        endpoint = next(word for word in process.stdout.readline().split() if word.startswith("127.")).rstrip(";")
        yield process, endpoint
        process.kill()


def test_a_launched_server_has_its_case_and_ends_with_the_block(tmp_path: Path) -> None:
    """The child answers over gRPC, and is gone when nobody holds it any more."""
    with launch(case="tg119", data_dir=tmp_path) as server, connect(server.endpoint, server.token) as client:
        assert [patient.name for patient in client.patients()] == [server.patient] == [PATIENT]
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_launched_server_ends_with_the_program_that_launched_it(tmp_path: Path) -> None:
    """Killed without a chance to tidy up, the launcher still takes the child along: its folder is free again."""
    program = (
        "from pathlib import Path; from bridge.launch import launch\n"
        f"with launch(data_dir=Path({str(tmp_path)!r})) as server:\n"
        "    print(server.endpoint, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        endpoint = launcher.stdout.readline().strip()
        launcher.kill()
    _wait_until_free(tmp_path)
    assert endpoint.startswith("127.0.0.1:")


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """It names the process that holds the folder, in one sentence and without a log."""
    with (
        launch(data_dir=tmp_path) as first,
        pytest.raises(LaunchFailed, match=f"^data folder .* in use by process {first.pid}") as refusal,
        launch(data_dir=tmp_path),
    ):
        pass
    assert "\n" not in str(refusal.value)


def test_a_server_that_refuses_says_why_in_a_sentence(tmp_path: Path) -> None:
    """The launcher's error is what a person can mend, and nothing about processes."""
    missing = tmp_path / "missing.npz"
    with (
        pytest.raises(LaunchFailed, match=r"^there is no file or folder .*missing\.npz.*tg119\.$") as refusal,
        launch(missing, data_dir=tmp_path),
    ):
        pass
    assert "\n" not in str(refusal.value)


def test_a_server_that_breaks_leaves_the_end_of_its_log(tmp_path: Path) -> None:
    """Where the child did not say itself what is wrong, its log does."""
    with (
        pytest.raises(LaunchFailed, match=r"(?s)ended with status 2 .*--seed"),
        launch(seed=3, data_dir=tmp_path),
    ):
        pass


@pytest.mark.parametrize(("asked", "used"), [(3, 3), (None, 0)])
def test_a_launched_server_tells_the_seed_of_its_case(tmp_path: Path, asked: int | None, used: int) -> None:
    """Also where it was left to the case; a server without a case has none."""
    with launch(case="tg119", seed=asked, data_dir=tmp_path) as server:
        assert (server.seed, server.patient) == (used, f"patients/tg119-{used}")
    with launch(data_dir=tmp_path) as server:
        assert server.seed is None


def test_one_of_two_ct_series_is_chosen(tmp_path: Path) -> None:
    """`import` and `serve` refuse a folder with two, name both and the option, and take the one that is named."""
    folder = tmp_path / "scans"
    folder.mkdir()
    sets.write_ct(folder)
    sets.write_structures(folder)
    sets.write_ct(folder, series="1.2.3.209")
    refused = _command("import", str(folder), "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert all(word in refused.stderr for word in (sets.SERIES, "1.2.3.209", "--series"))
    done = _command("import", str(folder), "--data-dir", str(tmp_path / "data"), "--series", sets.SERIES)
    assert done.returncode == 0, done.stderr
    with launch(folder, series=sets.SERIES, keep_nothing=True) as server:
        assert server.patient == "patients/scans"


NO_POSIX = """
import sys
sys.modules["fcntl"] = None
import bridge.cli, os
os.name = "other"
bridge.cli.app(sys.argv[1:])
"""


@pytest.mark.parametrize("words", [("serve",), ("serve", "--keep-nothing")])
def test_without_posix_the_server_says_so(words: tuple[str, ...]) -> None:
    """On Windows a person reads what they need, not which module is missing."""
    done = subprocess.run([sys.executable, "-c", NO_POSIX, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Linux and macOS only" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("cases",), ("patients", "--data-dir", "."), ("proto", ".")])
def test_what_is_printed_says_what_it_is_for(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The intended use ends the output of every command that lists or writes something."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert " ".join(done.stdout.split()).endswith(INTENDED_USE)


def test_the_token_is_for_its_owner_only(people_server: tuple[subprocess.Popen[str], str], tmp_path: Path) -> None:
    """The token file opens the server, nobody else can read it, and it goes with the server."""
    process, endpoint = people_server
    token_file = tmp_path / "data" / "token"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    with connect(endpoint, token_file.read_text()) as client:
        assert client.patients()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert not token_file.exists()


@pytest.mark.slow
def test_a_plan_is_made_with_nothing_but_the_generated_stubs(
    people_server: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    """The example script plans in another process, and what it commits is there for others."""
    _, endpoint = people_server
    token_file = tmp_path / "data" / "token"
    example = REPOSITORY / "docs" / "examples" / "plan_with_stubs.py"
    done = subprocess.run(
        [sys.executable, str(example), endpoint, str(token_file), PATIENT], capture_output=True, text=True, check=True
    )
    assert "OPERATION_STATE_SUCCEEDED" in done.stdout
    with connect(endpoint, token_file.read_text()) as client:
        copies = [plan for plan in client.plans(PATIENT) if plan.label == "With stubs"]
        assert [plan.dose.kind for plan in copies] == [model.DoseKind.FINAL]


def test_the_example_uses_generated_stubs_only() -> None:
    """Of this project it imports nothing but the generated code."""
    lines = (REPOSITORY / "docs" / "examples" / "plan_with_stubs.py").read_text().splitlines()
    ours = [line for line in lines if line.startswith(("from bridge", "import bridge", "from agent", "from sim_tps"))]
    assert ours
    assert all(line.startswith("from bridge.tps.v1.") for line in ours)


def test_a_taken_port_is_told(people_server: tuple[subprocess.Popen[str], str]) -> None:
    """Instead of sharing it in silence."""
    port = people_server[1].rsplit(":", 1)[1]
    done = _command("serve", "--keep-nothing", "--port", port)
    assert done.returncode == 1
    assert f"cannot listen on port {port}" in done.stderr


def test_an_import_tells_what_it_found(tmp_path: Path) -> None:
    """Structures with volumes are listed, and the patient is in the folder afterwards."""
    case = _write_npz(tmp_path / "box.npz")
    done = _command("import", str(case), "--data-dir", str(tmp_path / "data"), "--id", "box-1")
    assert done.returncode == 0, done.stderr
    assert "PTV" in done.stdout
    assert "box-1" in _command("patients", "--data-dir", str(tmp_path / "data")).stdout


def test_a_file_that_is_no_patient_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """No traceback for what a person can mend."""
    nonsense = tmp_path / "notes.txt"
    nonsense.write_text("not a patient")
    done = _command("import", str(nonsense), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "notes.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_contract_is_written_out_and_not_over_other_files(tmp_path: Path) -> None:
    """A vendor gets the .proto files with their specification; a second writing needs --force."""
    assert _command("proto", str(tmp_path)).returncode == 0
    assert (tmp_path / "README.md").is_file()
    assert (tmp_path / "bridge" / "tps" / "v1" / "plan_service.proto").is_file()
    assert "--force" in _command("proto", str(tmp_path)).stderr
    assert _command("proto", str(tmp_path), "--force").returncode == 0


def test_help_loads_nothing_heavy() -> None:
    """Asking for help stays quick because the arrays, the network and the TPS stay on disk."""
    program = "import sys, bridge.cli, bridge.pytest_plugin\nprint([m for m in sys.modules if '.' not in m])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"'numpy'", "'grpc'", "'numba'", "'sim_tps'", "'structlog'"} & set(loaded.strip("[]\n").split(", "))


def test_the_pytest_plugin_gives_a_running_tps(beamwright_client) -> None:  # type: ignore[no-untyped-def]
    """Anyone's tests can ask for `beamwright_client`."""
    (patient,) = beamwright_client.patients()
    assert any(s.role is model.StructureRole.TARGET for s in beamwright_client.structures(patient.name))


def _command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)


def _wait_until_free(folder: Path) -> None:
    while True:
        try:
            with held(folder):
                return
        except FolderInUse:
            continue


def _write_npz(path: Path) -> Path:
    """A water box with a target in it, in the npz form that `import` reads."""
    hu = np.full((20, 30, 40), -1000, np.int16)
    body, target = np.zeros(hu.shape, bool), np.zeros(hu.shape, bool)
    body[:, 4:26, 4:36] = True
    target[8:12, 12:18, 16:24] = True
    hu[body] = 0
    np.savez(
        path,
        ct_hu=hu,
        voxel_size_mm=[3.0, 3.0, 3.0],
        structure_names=["External", "PTV"],
        structure_masks=np.stack([np.packbits(mask.ravel()) for mask in (body, target)]),
    )
    return path
