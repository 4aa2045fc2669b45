"""The files that a clinic copies: the launcher without Varian's assemblies beside it, and the read-only script."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.eclipse.emulated import BUILD, FULL, LYING, PLAN, Eclipse

LIMIT_S = 120.0


@pytest.fixture(scope="module")
def site(esapi: None, tmp_path_factory: pytest.TempPathFactory) -> Eclipse:
    """Patients and configuration, served by nobody."""
    folder = tmp_path_factory.mktemp("clinic") / "site"
    folder.mkdir()
    made = Eclipse(FULL, folder)
    made.configure()
    return made


@pytest.fixture
def copied_launcher(tmp_path: Path) -> Path:
    """The launcher in a folder with the one file that the README says it needs."""
    for name in ("BeamwrightLauncher.exe", "Python.Runtime.dll"):
        shutil.copy(BUILD / FULL.version / name, tmp_path)
    return tmp_path / "BeamwrightLauncher.exe"


def test_the_launcher_finds_varians_assemblies_in_the_folder_that_is_named(
    site: Eclipse, copied_launcher: Path
) -> None:
    ini = copied_launcher.with_name("beamwright.ini")
    ini.write_text(site.ini_file.read_text("utf-8").replace("kind = form", "kind = console"), "utf-8")
    ran = _mono(site, copied_launcher, ini=ini)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "result: The server has ended." in ran.stdout


@pytest.mark.parametrize("folder", ["", "/no/such/folder"])
def test_a_launcher_without_varians_assemblies_says_so_in_one_sentence(
    folder: str, site: Eclipse, copied_launcher: Path
) -> None:
    ini = copied_launcher.with_name("beamwright.ini")
    lines = site.ini_file.read_text("utf-8").splitlines()
    told = [f"dll_folder = {folder}" if line.startswith("dll_folder") else line for line in lines]
    ini.write_text("\n".join(told) + "\n", "utf-8")
    ran = _mono(site, copied_launcher, ini=ini)
    assert ran.returncode == 1
    said = [line for line in ran.stderr.splitlines() if "custom attr" not in line]  # Mono's own
    assert len(said) == 1, said
    assert f"[esapi] dll_folder = '{folder}'" in said[0]


def test_plan_facts_has_every_part_and_not_the_patients_id(site: Eclipse, tmp_path: Path) -> None:
    facts_file = tmp_path / "facts.json"
    host = BUILD / FULL.version / "EclipseHost.exe"
    script = BUILD / FULL.version / "PlanFacts.esapi.dll"
    ran = _mono(
        site, host, "--patient", LYING, "--course", "C1", "--plan", PLAN, "--plugin", str(script),
        BEAMWRIGHT_FACTS_FILE=str(facts_file),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    text = facts_file.read_text("utf-8")
    facts = json.loads(text)
    assert facts["patient_id"] is None
    assert LYING not in text
    assert [beam["gantry_deg"] for beam in facts["beams"]] == [0, 120, 240]
    assert "PTV" in [structure["id"] for structure in facts["structures"]]
    assert '"error"' not in text


def _mono(
    site: Eclipse, program: Path, *arguments: str, ini: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["mono", str(program), *arguments],
        env={
            **os.environ, "BEAMWRIGHT_EMULATION": str(site.settings_file), "MONO_THREADS_SUSPEND": "preemptive",
            "BEAMWRIGHT_INI": str(ini or site.ini_file), "BEAMWRIGHT_DATA_DIR": str(site.folder / "data"), **more,
        },
        input="close\n",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
