"""The two ways to be with Eclipse, behind one face.

The one idea: *stand-alone* we own the application, open, save and close patients ourselves, and what is not saved is
gone when the patient is closed. *In Eclipse* a person has one patient open; we get that one, save nothing, and take
back what we made by deleting it. Everything here runs on the ESAPI thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from bridge.backends.esapi.reach import access, faults
from bridge.backends.esapi.reach.site import SiteSettings
from bridge.errors import NotFound, TpsRefused, TpsUnavailable

log = structlog.get_logger(__name__)


class Host(Protocol):
    """Where the patient comes from and who saves."""

    in_eclipse: bool

    def version(self) -> str:
        """Eclipse's version in its own words."""
        ...

    def patient_ids(self) -> Sequence[str]: ...
    def open(self, patient_id: str) -> Any:
        """The patient; another one that is open is closed, and its unsaved work is gone."""
        ...

    def begin(self) -> None:
        """Take the open patient for writing."""
        ...

    def save(self) -> None: ...
    def let_go(self) -> None:
        """Close the patient; unsaved work is gone. Nothing in Eclipse, where a person closes it."""
        ...

    def structure_set(self, patient: Any) -> Any: ...
    def plans(self, patient: Any) -> list[tuple[Any, Any]]:
        """Course and plan of every external-beam plan that may be in scope."""
        ...

    def is_open(self, plan: Any) -> bool:
        """Whether it is the plan that a person has open in Eclipse."""
        ...

    def close(self) -> None: ...


class StandAlone:
    """An application of our own.

    Parameters
    ----------
    make_application : function
        Makes ESAPI's ``Application``; called at once, on the ESAPI thread.
    site : SiteSettings
        Which patients are offered.
    """

    in_eclipse = False

    def __init__(self, make_application: Callable[[], Any], site: SiteSettings) -> None:
        self._site = site
        self._patient: Any = None
        try:
            self._application = make_application()
        except access.net_errors() as error:
            refusal = TpsUnavailable(_no_application(error))
        else:
            return
        raise refusal

    def version(self) -> str:
        return _version_of(self._application)

    def patient_ids(self) -> Sequence[str]:
        if self._site.patients:
            return self._site.patients
        return [access.get(summary, "Id") for summary in access.items(self._application, "PatientSummaries")]

    def open(self, patient_id: str) -> Any:
        self.let_go()
        with faults.translated("open the patient"):
            self._patient = self._application.OpenPatientById(patient_id)
        if self._patient is None:
            raise NotFound("Eclipse has no patient of this id; correct patients in section [site], or ListPatients.")
        return self._patient

    def begin(self) -> None:
        _begin(self._patient)

    def save(self) -> None:
        with faults.translated("save the patient"):
            self._application.SaveModifications()

    def let_go(self) -> None:
        if self._patient is None:
            return
        try:
            with faults.translated("close the patient"):
                self._application.ClosePatient()
        except TpsUnavailable as gone:
            log.warning("the patient was gone before it was closed", reason=gone.message)
        self._patient = None

    def structure_set(self, patient: Any) -> Any:
        return chosen_structure_set(access.items(patient, "StructureSets"), self._site)

    def plans(self, patient: Any) -> list[tuple[Any, Any]]:
        return [
            (course, plan)
            for course in access.items(patient, "Courses")
            for plan in access.items(course, "ExternalPlanSetups")
        ]

    def is_open(self, plan: Any) -> bool:  # noqa: ARG002 - there is no window
        return False

    def close(self) -> None:
        try:
            self.let_go()
        finally:
            with faults.translated("end"):
                self._application.Dispose()


class InEclipse:
    """The patient and plan that a person has open, as Eclipse handed them to a plug-in.

    Parameters
    ----------
    context : ScriptContext
        What Eclipse gave; read on the thread that runs the plug-in.
    site : SiteSettings
        In which course our plans lie.
    """

    in_eclipse = True

    def __init__(self, context: Any, site: SiteSettings) -> None:
        self._context = context
        self._site = site
        self._patient = access.get(context, "Patient")
        if self._patient is None:
            raise TpsRefused("no patient is open in Eclipse. Open a patient and a plan, then start the plug-in again.")
        self._patient_id = access.get(self._patient, "Id")
        self._plan = access.get(context, "ExternalPlanSetup")

    def version(self) -> str:
        return str(access.get(self._context, "VersionInfo") or "")

    def patient_ids(self) -> Sequence[str]:
        return [self._patient_id]

    def open(self, patient_id: str) -> Any:
        if patient_id != self._patient_id:
            raise NotFound("only the patient that is open in Eclipse is offered here.")
        return self._patient

    def begin(self) -> None:
        _begin(self._patient)

    def save(self) -> None:
        """A person saves, in Eclipse."""

    def let_go(self) -> None:
        """A person closes the patient, in Eclipse."""

    def structure_set(self, patient: Any) -> Any:
        shown = None if self._plan is None else access.get(self._plan, "StructureSet")
        if shown is None:
            shown = access.get(self._context, "StructureSet")
        if shown is not None:
            return shown
        return chosen_structure_set(access.items(patient, "StructureSets"), self._site)

    def plans(self, patient: Any) -> list[tuple[Any, Any]]:
        found = [(access.get(self._plan, "Course"), self._plan)] if self._plan is not None else []
        for course in access.items(patient, "Courses"):
            plans = access.items(course, "ExternalPlanSetups")
            found += [(course, plan) for plan in plans if not self.is_open(plan)]
        return found

    def is_open(self, plan: Any) -> bool:
        return self._plan is not None and bool(plan == self._plan)

    def close(self) -> None:
        """Eclipse goes on without us."""


def chosen_structure_set(offered: Sequence[Any], site: SiteSettings) -> Any:
    """The configured structure set, or the only one.

    Raises
    ------
    TpsRefused
        None, several, or none of the configured name; with the list of those there are.
    """
    fitting = [each for each in offered if _is_configured(each, site)]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(_words(each) for each in offered) or "none"
    wanted = f"of id {site.structure_set!r} " if site.structure_set else ""
    raise TpsRefused(
        f"the patient has {len(fitting)} structure sets {wanted}where one is needed; there are: {listed}. Name one as "
        "structure_set, and structure_set_image where ids repeat, in section [site]."
    )


def _is_configured(structure_set: Any, site: SiteSettings) -> bool:
    if site.structure_set and access.get(structure_set, "Id") != site.structure_set:
        return False
    return not site.structure_set_image or _image_id(structure_set) == site.structure_set_image


def _words(structure_set: Any) -> str:
    return f"{faults.clean(access.get(structure_set, 'Id'))!r} on image {faults.clean(_image_id(structure_set))!r}"


def _image_id(structure_set: Any) -> str:
    image = access.get(structure_set, "Image")
    return "" if image is None else str(access.get(image, "Id"))


def _begin(patient: Any) -> None:
    """Take the patient for writing; when it cannot be had, somebody else has it."""
    reason = "it does not allow changes"
    try:
        if patient.CanModifyData():
            patient.BeginModifications()
            return
    except access.net_errors() as error:
        reason = faults.clean(access.message(error)).rstrip(".")
    raise TpsUnavailable(
        f"Eclipse does not give the patient for writing: {reason}. It may be open elsewhere, or scripts may not write "
        "here: close it there, or have writing scripts allowed.",
        retry_after_s=5.0,
    )


def _version_of(application: Any) -> str:
    """Eclipse's version; where that is not told, the version of its scripting interface, called so."""
    environment = access.get(application, "ScriptEnvironment") if access.has(application, "ScriptEnvironment") else None
    for member, told in (("VersionInfo", "{}"), ("ApiVersionInfo", "ESAPI {}")):
        found = access.get(environment, member) if environment is not None and access.has(environment, member) else None
        if found:
            return told.format(found)
    return ""


def _no_application(error: BaseException) -> str:
    text = faults.clean(access.message(error)) or "no reason given"
    return (
        f"Eclipse could not be started ({access.kind(error)}: {text}). Check that Eclipse runs on this machine for "
        "this user, that the user may run scripts and has a licence, and that no other script of this process is open."
    )
