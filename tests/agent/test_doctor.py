"""`beamwright doctor`: every check answers, and what is broken comes with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.command import console
from agent.command.doctor import Check, Health, examine
from bridge import data_folder


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEAMWRIGHT_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        return {check.subject: check for check in examine()}


def test_this_machine_can_plan(checks: dict[str, Check]) -> None:
    """Where the tests run, nothing that planning needs is bad, the server's round trip over gRPC included."""
    assert {check.subject: check.finding for check in checks.values() if check.health is Health.BAD} == {}
    assert "answered over gRPC" in checks["Simulated TPS"].finding


def test_kernels_are_compiled_and_name_their_threading_layer(checks: dict[str, Check]) -> None:
    """numba really ran in parallel: the layer is known only then."""
    assert any(layer in checks["Compiled kernels"].finding for layer in ("omp", "tbb", "workqueue"))


def test_what_is_not_good_has_a_remedy(checks: dict[str, Check]) -> None:
    """No check leaves a person without a next step."""
    assert all(check.remedy for check in checks.values() if check.health is not Health.GOOD)


def test_a_data_folder_in_use_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server holds the data folder, doctor says who does, and that planning goes on without it."""
    monkeypatch.setenv(data_folder.ENVIRONMENT_VARIABLE, str(tmp_path))
    with data_folder.held(tmp_path):
        check = next(check for check in examine() if check.subject == "Data folder")
    assert check.health is Health.OPTIONAL
    assert "is in use by process" in check.finding


def test_a_data_folder_that_cannot_be_made_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path through a file cannot be a folder; the remedy names the variable to set."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(data_folder.ENVIRONMENT_VARIABLE, str(tmp_path / "file" / "data"))
    check = next(check for check in examine() if check.subject == "Data folder")
    assert check.health is Health.BAD
    assert "BEAMWRIGHT_DATA_DIR" in check.remedy


def test_one_bad_check_makes_the_whole_bad(capsys: pytest.CaptureFixture[str]) -> None:
    """The command's answer is the worst of its checks, and optional ones do not count."""
    good, absent = Check("A", Health.GOOD, "works"), Check("B", Health.OPTIONAL, "absent", "Not needed.")
    assert console.show_checks(lambda: iter([good, absent]))
    assert not console.show_checks(lambda: iter([good, Check("C", Health.BAD, "fails", "Mend it.")]))
    assert "→ Mend it." in capsys.readouterr().out
