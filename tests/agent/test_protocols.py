"""Protocol files: the packaged ones load, and a bad one is refused with file, line, value and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import protocols
from agent.protocols import ProtocolError

MINIMAL = """\
id: demo
title: Demo
site: phantom
intended_use: test
prescription: {fractions: 5, targets_gy: {PTV: 50}}
normalise: {structure: PTV, volume_percent: 95, dose_gy: 50}
plan:
  beams:
    - {gantry_deg: [0, 120, 240]}
structures:
  PTV: {required: true, kind: target}
  External: {required: true, kind: external}
  Core: {}
helpers:
  zRing: {ring: targets, from_mm: 3, to_mm: 10}
goals:
  - {structure: PTV, goal: "D95%[Gy] >= 50", acceptable: 47, rank: 1}
  - {structure: Core, goal: "D10%[Gy] <= 25", rank: 1}
objectives:
  - {structure: PTV, type: lower, dose_gy: 50.5, volume_percent: 99, priority: 300}
  - {structure: zRing, type: upper, dose_gy: 45, volume_percent: 0, priority: 40}
"""


def refusal(text: str) -> str:
    with pytest.raises(ProtocolError) as caught:
        protocols.read(text, "site.yaml")
    return str(caught.value)


@pytest.mark.parametrize("name", protocols.packaged())
def test_packaged_protocol_loads_under_its_own_name(name: str) -> None:
    """Every packaged file is valid and called what it calls itself."""
    assert protocols.load(name).protocol.id == name


@pytest.mark.parametrize("name", protocols.packaged())
def test_packaged_protocol_limits_the_body(name: str) -> None:
    """Each packaged protocol limits dose in the body, or as a study tells it: no stray hot spot goes unseen."""
    protocol = protocols.load(name).protocol
    if protocol.study:
        assert (protocol.external, "Max[Gy]") in {(item.structure, item.metric) for item in protocol.report}
        return
    around = {protocol.external, *(key for key, helper in protocol.helpers.items() if helper.keep == protocol.external)}
    assert any(goal.structure in around for goal in protocol.goals)


def test_a_path_loads_a_sites_own_protocol(tmp_path: Path) -> None:
    """A user's YAML file works like a packaged one."""
    path = tmp_path / "ours.yaml"
    path.write_text(MINIMAL)
    assert protocols.load(path).protocol.highest_gy == 50


def test_unknown_name_lists_what_there_is() -> None:
    """A misspelt protocol name is answered with the packaged ones."""
    with pytest.raises(FileNotFoundError, match="tg119"):
        protocols.load("tg-119")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("D10%[Gy] <= 25", "D10[Gyy] <= 25", 18, "not [Gyy]"),
        ("D95%[Gy] >= 50", "D95%[Gy] >= 5000", 17, "looks like cGy"),
        ("structure: Core, goal", "structure: Coer, goal", 18, "Did you mean 'Core'?"),
        ("structure: zRing, type", "structure: zRnig, type", 21, "Did you mean 'zRing'?"),
        ("dose_gy: 45,", "dose_gy: -45,", 21, "greater than or equal to 0 (found -45)"),
        ("dose_gy: 45,", "dose_gy: 4500,", 21, "looks like cGy; write Gy (45)"),
        ("targets_gy: {PTV: 50}", "targets_gy: {PTV: 5000}", 5, "looks like cGy"),
        ("priority: 40}", "priority: 4000}", 21, "less than or equal to 1000"),
        ("priority: 40}", "priority: .nan}", 21, "found nan"),
        ("acceptable: 47", "acceptable: 52", 17, "stricter than the goal"),
        ("rank: 1}\nobjectives", "rank: 4}\nobjectives", 18, "found 4"),
        ("fractions: 5", 'fractions: "5"', 5, "valid integer (found '5')"),
        ("dose_gy: 45,", 'dose_gy: "45",', 21, "valid number (found '45')"),
        ("dose_gy: 45,", "dose_gy: true,", 21, "valid number (found True)"),
        ("rank: 1}\nobjectives", "rank: true}\nobjectives", 18, "valid integer (found True)"),
        ("to_mm: 10", "to_mm: .inf", 15, "finite number (found inf)"),
        ("gantry_deg: [0,", "gantry_deg: [.nan,", 9, "finite number (found nan)"),
        ("beams:\n", "dose_grid_mm: 1e-9\n  beams:\n", 8, "valid number (found '1e-9')"),
        ("beams:\n", "dose_grid_mm: 1.0e-9\n  beams:\n", 8, "greater than or equal to 0.5"),
        ("beams:\n", "beamlet_mm: 100\n  beams:\n", 8, "less than or equal to 20"),
        ("priority: 40}", "priority: 40, priority_bounds: [-5, 100]}", 21, "greater than or equal to 0 (found -5)"),
        ("priority: 40}", "priority: 40, priority_bounds: [0, 1.0e+6]}", 21, "less than or equal to 1000"),
        ("priority: 40}", "priority: 40, dose_bounds_gy: [40, true]}", 21, "valid number (found True)"),
        ("percent: 95, dose_gy: 50}", "percent: 95, dose_gy: 150}", 6, "too far from the 50 Gy prescribed to 'PTV'"),
        ("percent: 95, dose_gy: 50}", "percent: 95, dose_gy: 39}", 6, "write a dose within 20 %"),
        ("title: Demo", "title: De\x07mo", 2, "the character '\\x07' may not stand in YAML"),
        ("from_mm: 3, to_mm: 10", "from_mm: 10, to_mm: 3", 15, "a ring runs outwards"),
        ("type: upper", "type: uper", 21, "'upper'"),
        ("  Core: {}", "  Core: {}\n  Core: {}", 14, "stands already in line 13"),
        ("  Core: {}", "  Core: {alias: [K]}", 13, "not known here"),
        ("title: Demo\n", "", 1, "title: this key is missing"),
        ("id: demo", "id: [demo", 2, "not YAML"),
    ],
)
def test_bad_value_is_refused_where_it_stands(old: str, new: str, line: int, words: str) -> None:
    """Each mistake is told with the file, its line, and what is wrong with it."""
    assert old in MINIMAL
    message = refusal(MINIMAL.replace(old, new))
    assert message.startswith(f"site.yaml:{line}: ")
    assert words in message


def test_a_file_that_is_not_utf_8_is_refused_where_it_is_not(tmp_path: Path) -> None:
    """An umlaut saved as Latin-1 is told with file and line, not as a traceback of the decoder."""
    path = tmp_path / "latin.yaml"
    path.write_bytes(MINIMAL.replace("title: Demo", "title: Schädel").encode("latin-1"))
    with pytest.raises(ProtocolError, match=r"latin\.yaml:2: the byte 0xe4 is not UTF-8"):
        protocols.load(path)


def test_pairs_and_whole_numbers_are_read_as_they_are_meant() -> None:
    """Strictness leaves what YAML writes naturally: 45 for a dose, two numbers for bounds."""
    text = MINIMAL.replace("priority: 40}", "priority: 40, dose_bounds_gy: [40, 48], priority_bounds: [0, 90]}")
    protocol = protocols.read(text.replace("percent: 95, dose_gy: 50", "percent: 50, dose_gy: 58"), "f").protocol
    assert protocol.objectives[1].dose_bounds_gy == (40.0, 48.0)
    assert protocol.objectives[1].priority_bounds == (0.0, 90.0)
    assert protocol.normalise.dose_gy == 58.0


def test_all_mistakes_are_told_at_once() -> None:
    """Two mistakes give two lines, so a file is mended in one go."""
    message = refusal(MINIMAL.replace("dose_gy: 45,", "dose_gy: -1,").replace("D10%", "D10x"))
    assert len(message.splitlines()) == 2


def test_helper_made_from_a_later_one_is_refused() -> None:
    """Helpers are made in the file's order, so a recipe may only name what stands before it."""
    text = MINIMAL.replace("  zRing:", "  zOuter: {grow: zRing, by_mm: 2}\n  zRing:")
    assert "put 'zRing' first" in refusal(text)


def test_ratio_of_an_unknown_objective_is_refused() -> None:
    """Rules for the agent name objectives that exist."""
    text = MINIMAL + "agent:\n  ratios:\n    - {objective: PTV uper, at_most: 0.5, of: PTV lower}\n"
    assert "no objective 'PTV uper'" in refusal(text)


def test_repeated_objectives_get_numbered_names() -> None:
    """Two uppers on one structure can be told apart by name."""
    text = MINIMAL + "  - {structure: zRing, type: upper, dose_gy: 30, volume_percent: 10, priority: 5}\n"
    assert protocols.read(text, "f").protocol.objective_names() == ("PTV lower", "zRing upper 1", "zRing upper 2")


POINT = "  - {structure: Core, type: hot, dose_gy: 25, volume_percent: 100, priority: 10}\n"
PRIORITY_AND_DOSE = "agent:\n  may_change: [priority, dose_gy]\n"


def test_a_hot_of_the_whole_structure_is_an_upper_point_of_quadratic_penalties() -> None:
    """It is taken where its volume stands still; of a part of a structure it belongs to the hot-fraction problem."""
    read = protocols.read(MINIMAL + POINT + PRIORITY_AND_DOSE, "site.yaml").protocol
    assert read.objectives[-1].type == "hot"
    assert "type 'hot' does not belong" in refusal(MINIMAL + POINT.replace("100", "10") + PRIORITY_AND_DOSE)
    assert "agent.may_change: a hot of 100 %" in refusal(
        MINIMAL + POINT + "agent:\n  may_change: [priority, dose_gy, volume_percent]\n"
    )


def test_a_variant_that_is_not_packaged_is_refused() -> None:
    """A protocol names what stands in for it, and that must be there."""
    assert protocols.read(MINIMAL + "variant: prostate-m2m-7-points\n", "site.yaml").protocol.variant
    assert "site.yaml:22: variant: no packaged protocol 'nothing'" in refusal(MINIMAL + "variant: nothing\n")


@pytest.mark.parametrize("name", [name for name in protocols.packaged() if protocols.load(name).protocol.variant])
def test_a_variant_differs_in_the_problem_and_not_in_the_case(name: str) -> None:
    """Prescription, beams, structures and goals are those of the protocol it stands in for."""
    original = protocols.load(name).protocol
    assert original.variant is not None
    variant = protocols.load(original.variant).protocol
    for part in ("prescription", "normalise", "structures", "goals", "report"):
        assert getattr(variant, part) == getattr(original, part), part
    assert variant.plan.beams == original.plan.beams
    assert variant.plan.problem == "quadratic-penalty"
    assert any("variant" in note for note in variant.notes)
