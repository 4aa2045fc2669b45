"""Names of objectives that have none: kept by content, as often as it occurs, and never used again."""

from __future__ import annotations

from bridge import model
from bridge.backends.esapi.objectives.functions import EUD, FALL_OFF, MEAN, POINT, Content, to_function
from bridge.backends.esapi.objectives.ledger import ObjectiveLedger


def point(priority: float = 100.0, structure: str = "PTV", dose_gy: float = 60.0, volume: float = 95.0) -> Content:
    return Content(POINT, priority, structure, "Lower", dose_gy, volume)


def names(ledger: ObjectiveLedger, *present: Content) -> list[str]:
    return [name for name, _ in ledger.follow(present)]


def test_names_follow_content_whatever_the_order() -> None:
    ledger = ObjectiveLedger()
    a, b, c = point(), point(structure="Cord"), Content(MEAN, 50.0, "Lung", "", 20.0)
    assert names(ledger, a, b, c) == ["objective-1", "objective-2", "objective-3"]
    assert ledger.follow([c, a, b]) == [("objective-1", a), ("objective-2", b), ("objective-3", c)]


def test_alike_objectives_have_each_a_name() -> None:
    ledger = ObjectiveLedger()
    assert names(ledger, point(), point()) == ["objective-1", "objective-2"]
    assert names(ledger, point()) == ["objective-1"]
    assert names(ledger, point(), point()) == ["objective-1", "objective-3"]


def test_names_of_what_is_gone_are_never_used_again() -> None:
    ledger = ObjectiveLedger()
    names(ledger, point(), point(priority=7.0))
    assert names(ledger, point()) == ["objective-1"]
    assert names(ledger, point(), point(priority=7.0)) == ["objective-1", "objective-3"]
    ledger.clear()
    assert names(ledger, point()) == ["objective-4"]


def test_changed_objective_keeps_name_and_place() -> None:
    ledger = ObjectiveLedger()
    names(ledger, point(), point(structure="Cord"))
    ledger.change("objective-1", point(priority=200.0))
    assert ledger.follow([point(structure="Cord"), point(priority=200.0)])[0] == (
        "objective-1",
        point(priority=200.0),
    )


def test_change_by_somebody_else_gets_a_new_name() -> None:
    ledger = ObjectiveLedger()
    names(ledger, point())
    assert names(ledger, point(priority=101.0)) == ["objective-2"]


def test_last_digits_do_not_make_another_objective() -> None:
    ledger = ObjectiveLedger()
    names(ledger, point(dose_gy=61.2))
    assert names(ledger, point(dose_gy=0.01 * (61.2 / 0.01))) == ["objective-1"]


# what they read as -----------------------------------------------------------------------------------------------


def test_points_at_the_ends_are_maximum_and_minimum() -> None:
    assert to_function(Content(POINT, 1.0, "PTV", "Upper", 63.0, 0.0), None) == model.MaxDose(63.0)
    assert to_function(Content(POINT, 1.0, "PTV", "Lower", 57.0, 100.0), 1.0) == model.MinDose(57.0)
    assert to_function(Content(POINT, 1.0, "PTV", "Lower", 57.0, 1.0), 0.01) == model.MinDose(57.0)


def test_volume_is_percent_or_ratio_by_what_was_seen() -> None:
    stored = Content(POINT, 1.0, "PTV", "Lower", 57.0, 0.95)
    assert to_function(stored, 1.0) == model.DoseVolumePoint(model.Bound.LOWER, 57.0, 0.95)
    assert to_function(stored, 0.01) == model.DoseVolumePoint(model.Bound.LOWER, 57.0, 95.0)
    unknown = to_function(stored, None)
    assert isinstance(unknown, model.VendorFunction)
    assert "volume 0.95; percent or ratio" in unknown.text


def test_what_the_contract_has_no_words_for_is_the_vendors() -> None:
    for content in (
        Content(POINT, 1.0, "PTV", "Exact", 57.0, 50.0),
        Content(EUD, 1.0, "PTV", "Exact", 57.0, None, 5.0),
        Content("OptimizationLineObjective", 1.0, "Rectum", "Upper", flavour="line of 3 points"),
    ):
        function = to_function(content, 1.0)
        assert isinstance(function, model.VendorFunction)
        assert function.kind == content.kind


def test_noise_of_unit_conversion_is_not_told() -> None:
    assert to_function(Content(MEAN, 1.0, "Lung", "", 61.2 / 0.01 * 0.01 + 1e-13), 1.0) == model.MeanDose(61.2)


def test_lines_cannot_be_added_again_and_points_can() -> None:
    assert point().can_be_added
    assert Content(FALL_OFF, 1.0).can_be_added
    assert not Content("OptimizationLineObjective", 1.0, "Rectum", "Upper").can_be_added
