"""The HTML report: it opens offline, says what matters, and treats labels as data."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from run_builder import HOT_SPOT_MM, make_run, sequenced, without_position

from agent import run_folder
from agent.records import GoalStatus
from agent.report import tables
from agent.report.compare import write_comparison
from agent.report.page import render, write_report
from bridge import INTENDED_USE, model

HOSTILE = "<script>alert('$\\frac{1}{0}$')</script>_{{7*7}} 腮腺\n\u202e"


class _Outline(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page() -> str:
    return render(make_run())


@pytest.mark.parametrize(
    "text",
    [
        "INTERMEDIATE dose, not deliverable.",
        "All 2 rank-1 goals are met or acceptable",
        "Rank-1 goals that could not be evaluated, and do not count as met: 1.",
        "PTV: 60 Gy in 30 fractions of 2 Gy",
        "95 % of PTV gets exactly 60 Gy",
        "3 × 3 × 3 mm (x, y, z), 39 × 31 × 26 voxels",
        "A pencil beam scales depth by the density",
        "120°",
        "SpinalCord max 40 Gy: priority 200 -> 320",
        "12 % of the gland lies inside the target.",
        "0.4 cc of air lies inside PTV.",
        "zRing_0_10 was empty and left out.",
        "cut by the end of the scan",
        "not in this patient",
        "beamwright 0.1.0",
        INTENDED_USE,
    ],
)
def test_the_report_says(page: str, text: str) -> None:
    """Everything a dosimetrist asks for stands in the page as text."""
    assert text in " ".join(_Outline(page).text.split())


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    """No address is loaded: pictures are inside the page, there is no script, and its policy forbids both."""
    outline = _Outline(page)
    assert not outline.all("script")
    assert not outline.all("link")
    assert all((image["src"] or "").startswith("data:image/") for image in outline.all("img"))
    assert not re.findall(r"url\(|@import", page)
    policy = next(m["content"] for m in outline.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_picture_has_words(page: str) -> None:
    """Isocentre planes, hot-spot planes and DVH each carry a text for those who cannot see them."""
    texts = [image["alt"] or "" for image in _Outline(page).all("img")]
    assert [text.split(",")[0] for text in texts][:1] == ["Axial"]
    assert len(texts) == 3
    assert all(len(text) > 40 for text in texts)


def test_every_table_has_headings(page: str) -> None:
    """Column and row headings are marked as such, with their scope."""
    assert all(heading.get("scope") in ("col", "row", "rowgroup") for heading in _Outline(page).all("th"))


def test_the_hot_spot_is_told_in_words(page: str) -> None:
    """Dose, percent, structure and place of the maximum stand above its picture."""
    assert re.search(r"66\.\d Gy \(11\d\.\d % of 60 Gy\) inside PTV, at x 12\.0, y 4\.0, z 8\.0 mm\.", page)


def test_without_a_position_the_hottest_voxel_is_taken() -> None:
    """A TPS that does not say where its maximum is gets it looked up in the dose."""
    page = render(without_position(make_run()))
    assert re.search(
        rf"inside PTV, at x {HOT_SPOT_MM[0]:.1f}, y {HOT_SPOT_MM[1] - 1:.1f}, z {HOT_SPOT_MM[2]:.1f}", page
    )


def test_labels_are_data() -> None:
    """A structure named like markup, a template, a formula, or in another script is shown, never obeyed."""
    page = render(make_run(label=HOSTILE))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "_{{7*7}}" in _Outline(page).text


def test_a_synthetic_patient_is_called_so() -> None:
    """What the TPS says of a patient made by a program stands in the header, before anything else is read."""
    run = make_run()
    told = "Synthetic patient (built-in case tg119, seed 0)."
    found = (model.Finding("synthetic-patient", told), *run.result.findings)
    page = render(replace(run, result=replace(run.result, findings=found)))
    assert told in page[: page.index("</header>")]
    assert "Synthetic" not in render(run)


def test_a_reference_says_what_it_is(page: str) -> None:
    """The imported plan's label and the patient's own prescription stand below the curves."""
    run = make_run()
    assert run.reference is not None
    told = render(replace(run, reference=replace(run.reference, prescription_note="protons, 76 Gy in 35 fractions")))
    assert "the imported plan “Clinical”" in _Outline(page).text
    assert "(prescription in the patient's own data: protons, 76 Gy in 35 fractions)" in _Outline(told).text


def test_both_maxima_say_what_they_are(page: str) -> None:
    """The hottest point of the grid and the maximum over the External stand apart, each under its own name."""
    text = " ".join(_Outline(page).text.split())
    assert re.search(r"Hottest point of the dose grid ?66\.\d Gy", text)
    assert re.search(r"Maximum in the External ?\d\d\.\d Gy, over the points", text)


def test_a_goal_of_one_run_was_not_asked_of_the_other() -> None:
    """What is no goal of a run is neither missed nor impossible to evaluate there."""
    one = make_run().result.best_attempt
    other = replace(one, goals=one.goals[1:])
    (alone,) = [row for row in tables.paired_goals(one, other) if row.b.status is None]
    assert (alone.metric, alone.a.status, alone.b.text) == ("D95%[Gy]", GoalStatus.MET, "not asked")


def test_comparisons_are_named_and_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page lies in a folder named after both runs, names them in its columns, and a second one is refused."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "yours"):
        run_folder.write(make_run(), Path(name))
    comparison = write_comparison(Path("mine"), Path("yours"))
    assert comparison.page == Path("comparisons/mine-and-yours/comparison.html")
    headings = _Outline(comparison.page.read_text(encoding="utf-8")).text
    assert "A: mine" in headings
    assert "B: yours" in headings
    with pytest.raises(run_folder.RunFolderError, match="not empty"):
        write_comparison(Path("mine"), Path("yours"))


def test_a_missed_goal_is_said_first() -> None:
    """The verdict names the goal with its value when a rank-1 goal is missed."""
    page = _Outline(render(make_run(missed=True)))
    assert "1 of 2 rank-1 goals is missed" in page.text
    assert "SpinalCord D0.03cc[Gy] ≤ 45 is 46.10 Gy." in page.text


def test_a_deliverable_dose_is_not_called_undeliverable() -> None:
    """The banner follows the dose's own kind."""
    page = render(sequenced(make_run()))
    assert "FINAL dose." in page
    assert "not deliverable" not in page


def test_what_sequencing_did_stands_in_the_report() -> None:
    """MU of each beam and of all, D95 and maximum before and after; nothing of it where the TPS does not sequence."""
    shown = " ".join(_Outline(render(sequenced(make_run()))).text.split())
    assert "370 a fraction" in shown
    assert "PTV D95% 59.84 → 59.24 Gy (−1.0 %)" in shown
    assert "hottest point 63.10 → 64.00 Gy (+1.4 %)" in shown
    assert shown.count("0°123") == 3
    assert "sequencing" not in " ".join(_Outline(render(make_run())).text.split()).replace("leaf sequence", "")


def test_without_volumes_the_report_says_so() -> None:
    """A TPS that streams no volumes still gets goals, DVH and tables, and a sentence in the pictures' place."""
    page = render(make_run(volumes=False))
    assert "does not stream volumes" in page
    assert len(_Outline(page).all("img")) == 1


def test_a_run_without_any_evaluable_goal_is_shown() -> None:
    """Nothing evaluable is no success story and no crash: every goal stands in the list apart."""
    run = make_run()
    attempts = tuple(
        replace(a, goals=tuple(replace(g, status=GoalStatus.NOT_EVALUABLE, value=None) for g in a.goals))
        for a in run.result.attempts
    )
    page = _Outline(render(replace(run, result=replace(run.result, attempts=attempts)))).text
    assert "0 of 0" in page
    assert "SpinalCord D0.03cc[Gy] ≤ 45 Gy (rank 1)" in page


def test_the_report_is_made_from_the_folder_alone(tmp_path: Path) -> None:
    """Read back from disk, the run gives the very page and pictures it gave when it ended."""
    run = make_run()
    run_folder.write(run, tmp_path)
    assert write_report(tmp_path).read_text(encoding="utf-8") == render(run)
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["dvh.png", "hot-spot.png", "isocentre.png"]
