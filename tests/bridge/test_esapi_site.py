"""The clinic's configuration: what is taken, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.backends.esapi.description import server_info
from bridge.backends.esapi.making.authoring import machines
from bridge.backends.esapi.reach.site import SiteRefused, SiteSettings, only, read_site
from bridge.errors import CapabilityMissing, TpsRefused


def _ini(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "beamwright.ini"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert read_site(_ini(tmp_path, "")) == SiteSettings()


def test_values_are_read_with_their_types(tmp_path: Path) -> None:
    text = """
    [esapi]
    dll_folder = dlls
    [server]
    port = 5051
    writable = true
    [site]
    patients = P1, Müller 2 ,
    dose_rate = 600
    max_field_mm = 400, 220
    chunk_iterations = 20
    [window]
    anything = of the plug-in's
    """
    site = read_site(_ini(tmp_path, text.replace("\n    ", "\n")))
    assert site.dll_folder == tmp_path / "dlls"
    assert (site.port, site.writable, site.dose_rate, site.chunk_iterations) == (5051, True, 600, 20)
    assert site.patients == ("P1", "Müller 2")
    assert site.max_field_mm == (400.0, 220.0)


def test_an_empty_value_means_discover(tmp_path: Path) -> None:
    site = read_site(_ini(tmp_path, "[site]\ndose_model =\ndose_rate =\n"))
    assert site.dose_model == ""
    assert site.dose_rate is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[site]\nmachin = A\n", ("[site]", "'machin'", "machine")),
        ("[sites]\nmachine = A\n", ("[sites]", "[site]")),
        ("[server]\nport = 99999\n", ("[server]", "port", "'99999'")),
        ("[server]\nport = soon\n", ("[server]", "port", "'soon'")),
        ("[server]\nmode = casual\n", ("mode", "'casual'", "clinical")),
        ("[site]\nangles = degrees\n", ("angles", "'degrees'", "VarianIEC")),
        ("[site]\nmax_dose_gy = nan\n", ("max_dose_gy", "'nan'")),
        ("[site]\nmax_field_mm = 400\n", ("max_field_mm", "'400'")),
        ("[site]\nmax_field_mm = 400, -220\n", ("max_field_mm", "'400, -220'", "greater than 0")),
        ("[site]\nleaf_width_mm = 0\n", ("leaf_width_mm", "'0'", "greater than 0")),
        ("[site]\npriority_min = 10\npriority_typical_min = 5\n", ("priorities must rise",)),
        ("[site]\nstructure_set_image = CT1\n", ("structure_set",)),
        ("machine = A\n", ("not an ini file",)),
        ("[site]\nmachine = A\nmachine = B\n", ("not an ini file", "machine")),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = _ini(tmp_path, text)
    with pytest.raises(SiteRefused) as refusal:
        read_site(path)
    assert str(path) in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


HEAD = {"leaf_width_mm": 2.5, "max_field_mm": (400.0, 220.0)}


@pytest.mark.parametrize(
    ("given", "makes_plans"),
    [(HEAD, True), ({**HEAD, "technique": "ARC"}, False), ({}, False), ({"leaf_width_mm": 2.5}, False)],
)
def test_plans_are_made_only_of_a_head_that_is_described(given: dict[str, Any], makes_plans: bool) -> None:
    site = SiteSettings(**given)
    told = server_info(site, in_eclipse=False, tps_version="").capabilities
    assert ("plan.create" in told) is makes_plans
    if "technique" not in given and not makes_plans:
        with pytest.raises(CapabilityMissing, match=r"leaf_width_mm or max_field_mm in section \[site\]"):
            machines(site, None)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteRefused, match="cannot read"):
        read_site(tmp_path / "none.ini")


def test_the_only_one_is_taken_and_several_are_listed() -> None:
    assert only("dose models", "", ["AAA"], "dose_model") == "AAA"
    assert only("dose models", "B", ["A", "B"], "dose_model") == "B"
    with pytest.raises(TpsRefused, match=r"offers 2 .*'A', 'B'.*dose_model"):
        only("dose models", "", ["A", "B"], "dose_model")
    with pytest.raises(TpsRefused, match=r"offers 0 .*none"):
        only("dose models", "", [], "dose_model")
    with pytest.raises(TpsRefused, match=r"'C' is configured.*'A', 'B'"):
        only("dose models", "C", ["A", "B"], "dose_model")
