"""Calculation models and their options: strings that every Eclipse site has its own of.

The one idea: nothing is guessed. A model that a plan has stays; where it has none the configured one is set, or the
only one that Eclipse offers; several are a refusal that lists them.
"""

from __future__ import annotations

from typing import Any

from bridge import errors
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.site import SiteSettings, only

VOLUME_DOSE = "PhotonVolumeDose"
IMRT_OPTIMIZATION = "PhotonIMRTOptimization"
VMAT_OPTIMIZATION = "PhotonVMATOptimization"
LEAF_MOTIONS = "PhotonLeafMotions"

_SETTINGS = {
    VOLUME_DOSE: "dose_model",
    IMRT_OPTIMIZATION: "optimisation_model",
    VMAT_OPTIMIZATION: "vmat_model",
    LEAF_MOTIONS: "leaf_motion_model",
}
"""Calculation type -> the key in the site's file that names its model."""

_MM_PER_UNIT = {"incm": 10.0, "inmm": 1.0}
"""How the name of a grid option ends -> mm in its unit."""


def ensure(plan: Any, calculation: str, site: SiteSettings) -> str:
    """The plan's model for a calculation; set now where the plan has none."""
    kind = access.enum("CalculationType", calculation)
    present = plan.GetCalculationModel(kind)
    if present:
        return str(present)
    offered = [str(name) for name in access.item_list(plan.GetModelsForCalculationType(kind))]
    setting = _SETTINGS[calculation]
    chosen = only(f"models for {calculation}", getattr(site, setting), offered, setting)
    plan.SetCalculationModel(kind, chosen)
    stored = plan.GetCalculationModel(kind)
    if stored != chosen:
        raise errors.TpsRefused(
            f"Eclipse did not take {chosen!r} as the model for {calculation}; it has {str(stored)!r}. Set the model in "
            f"Eclipse, or another {setting} in section [site]."
        )
    return chosen


def set_grid(plan: Any, grid_mm: float, site: SiteSettings) -> None:
    """Set the dose grid of the plan's dose model, or say which option this site does not have."""
    model_name = ensure(plan, VOLUME_DOSE, site)
    option = site.grid_option
    if not option:
        raise _no_grid("no grid_option is configured in section [site], so the dose grid cannot be set.")
    value = _option_value(option, grid_mm)
    if not plan.SetCalculationOption(model_name, option, value):
        known = ", ".join(sorted(_option_names(plan, model_name))) or "none"
        raise _no_grid(f"model {model_name!r} does not take option {option!r} = {value}; its options are: {known}.")


def _option_value(option: str, grid_mm: float) -> str:
    mm_per_unit = _MM_PER_UNIT.get(option.lower()[-4:])
    if mm_per_unit is None:
        raise _no_grid(
            f"grid_option {option!r} does not end in InCM or InMM, so its unit is not known; configure one that does."
        )
    return f"{grid_mm / mm_per_unit:.6g}"


def _option_names(plan: Any, model_name: str) -> list[str]:
    options = plan.GetCalculationOptions(model_name)
    return [] if options is None else [str(key) for key in access.items(options, "Keys")]


def _no_grid(sentence: str) -> errors.CapabilityMissing:
    return errors.CapabilityMissing(f"{sentence} Leave the grid out.", metadata={"capability": "dose.grid"})
