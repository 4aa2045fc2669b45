"""What only the clinic can say: the configuration file, checked before anything is started.

The one idea: an empty value means "discover": the only one that Eclipse offers is taken, and several are refused with
the list of them. Nothing is guessed, and a word that is not known is refused, since a misspelt one would silently not
count.
"""

from __future__ import annotations

import configparser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bridge.errors import TpsRefused

STATIC: Literal["STATIC"] = "STATIC"
ARC: Literal["ARC"] = "ARC"
FACTOR: Literal["factor"] = "factor"

PLUGIN_SECTIONS = frozenset({"python", "agent", "window"})
"""The plug-in's own."""


Length = Annotated[float, Field(gt=0)]


class SiteRefused(Exception):
    """The configuration cannot be used; the message names file, section and key."""


class SiteSettings(BaseModel):
    """The configuration, with what a value left empty means."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # [esapi]
    dll_folder: Path | None = None
    """None: Eclipse has loaded ESAPI already (a plug-in)."""

    # [server]
    port: int = Field(0, ge=0, le=65535)
    writable: bool = False
    mode: Literal["research", "clinical"] = "research"

    # [site]
    patients: tuple[str, ...] = ()
    """Ids of those that are offered, stand-alone; empty: all."""
    patient_labels: Literal["hashed", "id"] = "hashed"
    patient_key: str = ""
    """Hides patient ids in names; empty: one that is kept in the user's own data folder."""
    structure_set: str = ""
    structure_set_image: str = ""
    course: str = "BW_AGENT"
    dose_unit: Literal["", "Gy", "cGy"] = ""
    machine: str = ""
    energy: str = ""
    dose_rate: int | None = Field(None, gt=0)
    technique: Literal["STATIC", "ARC"] = STATIC
    """What is planned here: Eclipse takes a number of iterations for static beams and none for arcs."""
    mlc: str = ""
    leaf_width_mm: float | None = Field(None, gt=0)
    """Of the machine at the isocentre, which ESAPI does not tell; empty, as `max_field_mm`: no plans are made."""
    max_field_mm: tuple[Length, Length] | None = None
    """Largest field of the machine along x (leaf travel) and y."""
    dose_model: str = ""
    optimisation_model: str = ""
    leaf_motion_model: str = ""
    vmat_model: str = ""
    grid_option: str = ""
    """Key of the calculation option that sets the dose grid; empty: not settable."""
    angles: Literal["IEC61217", "VarianIEC", "VarianStandard"] = "IEC61217"
    """Scale of the angles that ESAPI speaks, whatever the screen shows."""
    normalization: Literal["isodose", "factor"] = "isodose"
    """Whether Eclipse's normalisation value divides the dose or multiplies it, until a dose has shown it."""
    reread_s: float = Field(30.0, ge=0)
    """Stand-alone: a patient that was opened for reading longer ago than this is opened anew."""
    chunk_iterations: int = Field(0, ge=0)
    """Iterations between two looks at progress and cancelling; 0: optimise in one go."""
    max_iterations: int = Field(1000, gt=0)
    max_dose_gy: float = Field(200.0, gt=0)
    min_grid_mm: float = Field(1.0, gt=0)
    priority_min: float = Field(0.0, ge=0)
    priority_max: float = 1000.0
    priority_default: float = 100.0
    priority_typical_min: float = 50.0
    priority_typical_max: float = 300.0
    max_plan_id_length: int = Field(13, gt=0)
    max_structure_id_length: int = Field(16, gt=0)

    @field_validator("patients", mode="before")
    @classmethod
    def _of_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("max_field_mm", mode="before")
    @classmethod
    def _of_two(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) and value else value

    @field_validator("dll_folder", "dose_rate", "leaf_width_mm", "max_field_mm", mode="before")
    @classmethod
    def _of_nothing(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _in_order(self) -> SiteSettings:
        ladder = (self.priority_min, self.priority_typical_min, self.priority_typical_max, self.priority_max)
        if list(ladder) != sorted(ladder) or not self.priority_min <= self.priority_default <= self.priority_max:
            raise ValueError(
                "priorities must rise: priority_min, priority_typical_min, priority_typical_max, priority_max, with "
                "priority_default between the first and the last"
            )
        if self.structure_set_image and not self.structure_set:
            raise ValueError("structure_set_image tells two structure sets of one id apart; give structure_set as well")
        return self

    @property
    def makes_plans(self) -> bool:
        """Whether plans can be made from nothing: static beams, of a machine whose head is described here."""
        return self.technique == STATIC and self.leaf_width_mm is not None and self.max_field_mm is not None


_SECTION_OF = {
    name: "esapi" if name == "dll_folder" else "server" if name in ("port", "writable", "mode") else "site"
    for name in SiteSettings.model_fields
}


def read_site(path: Path) -> SiteSettings:
    """The configuration in an ini file; ``dll_folder`` may be relative to it.

    Raises
    ------
    SiteRefused
        No such file, not an ini file, a section, key or value that is not known; with what was expected.
    """
    parser = configparser.ConfigParser(interpolation=None, default_section="", comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), source=str(path))
    except OSError as error:
        raise SiteRefused(f"cannot read the configuration {str(path)!r}: {error.strerror}.") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SiteRefused(f"{str(path)!r} is not an ini file in UTF-8: {' '.join(str(error).split())}.") from error
    settings = _settings(path, _given(path, parser))
    if settings.dll_folder is not None and not settings.dll_folder.is_absolute():
        return settings.model_copy(update={"dll_folder": (path.parent / settings.dll_folder).resolve()})
    return settings


def only(kind: str, configured: str, offered: Sequence[str], key: str) -> str:
    """The configured one if it is offered, or the only one offered; anything else is a refusal that lists them."""
    listed = ", ".join(repr(each) for each in offered) or "none"
    if configured:
        if configured not in offered:
            raise TpsRefused(
                f"{kind} {configured!r} is configured and Eclipse does not offer it; it offers: {listed}. Correct "
                f"{key} in section [site]."
            )
        return configured
    if len(offered) != 1:
        raise TpsRefused(f"Eclipse offers {len(offered)} of {kind}: {listed}. Name one as {key} in section [site].")
    return offered[0]


def _given(path: Path, parser: configparser.ConfigParser) -> dict[str, str]:
    given: dict[str, str] = {}
    for section in parser.sections():
        if section in PLUGIN_SECTIONS:
            continue
        keys = [name for name, home in _SECTION_OF.items() if home == section]
        if not keys:
            known = ", ".join(f"[{name}]" for name in sorted({*_SECTION_OF.values(), *PLUGIN_SECTIONS}))
            raise SiteRefused(f"{str(path)!r} has a section [{section}]; known are {known}.")
        for key, value in parser.items(section):
            if key not in keys:
                raise SiteRefused(
                    f"{str(path)!r}, section [{section}]: no such key {key!r}; known are {', '.join(keys)}."
                )
            given[key] = value.strip()
    return given


def _settings(path: Path, given: dict[str, str]) -> SiteSettings:
    try:
        return SiteSettings.model_validate(given)
    except ValidationError as refusal:
        raise SiteRefused("; ".join(_sentence(path, given, dict(each)) for each in refusal.errors())) from None


def _sentence(path: Path, given: dict[str, str], error: dict[str, Any]) -> str:
    if not error["loc"]:
        return f"{str(path)!r}, section [site]: {error['msg'].removeprefix('Value error, ')}."
    key = str(error["loc"][0])
    words = f"{error['msg'][0].lower()}{error['msg'][1:]}"
    return f"{str(path)!r}, section [{_SECTION_OF[key]}]: {key} is {given.get(key, '')!r}; {words}."
