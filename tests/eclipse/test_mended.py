"""What was wrong once, on an emulated Eclipse: each test stands for one mend."""

from __future__ import annotations

import pytest

from bridge import errors, model
from tests.eclipse import asymmetric
from tests.eclipse.conftest import find
from tests.eclipse.emulated import LYING
from tests.eclipse.otherwise import Start
from tests.eclipse.working import by_label, copied, writing


def test_a_structure_that_a_plan_is_normalised_to_is_not_deleted(own_eclipse: Start) -> None:
    with own_eclipse(patient=LYING).client() as client:
        patient = find(client, LYING)
        with writing(client, patient) as session:
            target, plan = by_label(session, patient)["PTV"], copied(session, patient)
            derivation = model.Derivation(model.DerivationKind.MARGIN, (target.name,))
            helper = session.create_structure("zTarget", derivation)
            asymmetric.dose(session, patient, plan.name)
            session.set_normalization(plan.name, model.CoverageNormalization(helper.name, 95.0, 47.0))
            with pytest.raises(errors.TpsRefused, match="normalised to structure"):
                session.delete_structure(helper.name)
            session.set_normalization(plan.name, None)
            session.delete_structure(helper.name)


def test_no_plans_are_made_of_a_machine_that_nobody_described(own_eclipse: Start) -> None:
    with own_eclipse(patient=LYING, leaf_width_mm="", max_field_mm="").client() as client:
        assert "plan.create" not in client.server_info().capabilities
