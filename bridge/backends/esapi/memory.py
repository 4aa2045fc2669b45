"""The records of committed plans on disk, so that they outlive this process.

The one idea: a page for each plan, named after a digest of its UID. A page is written before Eclipse saves, aside and
then renamed, so it is whole or not there; one whose plan was never saved is never asked for. No name of a patient and
nothing of the dose is in it, only names as the contract has them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from bridge import model
from bridge.backends.esapi.chart.records import PlanRecord
from bridge.backends.esapi.objectives.functions import Content
from bridge.backends.esapi.objectives.ledger import ObjectiveLedger

log = structlog.get_logger(__name__)


class _Page(BaseModel):
    """What is kept of a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    patient: str
    name: str
    provenance: model.Provenance
    targets: tuple[model.TargetPrescription, ...]
    normalization: model.PercentNormalization | model.CoverageNormalization | None
    normalization_value: float | None
    dose_etag: str | None
    dose_kind: model.DoseKind | None
    dose_outdated: bool
    optimised: bool
    revision: int
    objectives: tuple[tuple[str, Content], ...]
    objectives_issued: int


class Memory:
    """Pages in a folder.

    Parameters
    ----------
    folder : Path, optional
        None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def page(self, uid: str) -> bytes | None:
        """The page as it lies there; None where there is none."""
        path = self._path(uid)
        try:
            return None if path is None else path.read_bytes()
        except FileNotFoundError:
            return None

    def put(self, uid: str, content: bytes | None) -> None:
        """Write a page, or take it away; whole or not at all."""
        path = self._path(uid)
        if path is None:
            return
        if content is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = path.with_suffix(f".{os.getpid()}.new")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)

    def write(self, patient: str, records: Mapping[str, PlanRecord]) -> dict[str, bytes | None]:
        """Keep the records of a patient's plans by UID; the pages as they were, to be `put` back if need be."""
        before: dict[str, bytes | None] = {}
        try:
            for uid, record in records.items():
                before[uid] = self.page(uid)
                self.put(uid, _written(patient, record))
        except OSError:
            self.put_back(before)
            raise
        return before

    def put_back(self, pages: Mapping[str, bytes | None]) -> None:
        for uid, content in pages.items():
            self.put(uid, content)

    def record(self, patient: str, uid: str) -> PlanRecord | None:
        """What was kept about the plan; None where nothing was, or it cannot be used any more."""
        content = self.page(uid)
        if content is None:
            return None
        try:
            page = _Page.model_validate_json(content)
        except ValidationError as error:
            log.warning("what was kept about a plan cannot be read and is not used", path=str(self._path(uid)))
            log.debug("the page is not one", errors=error.error_count())
            return None
        return _read(page) if page.patient == patient else None

    def _path(self, uid: str) -> Path | None:
        if self._folder is None or not uid:
            return None
        return self._folder / f"{hashlib.sha256(uid.encode()).hexdigest()[:40]}.json"


def _written(patient: str, record: PlanRecord) -> bytes | None:
    if record.provenance is None:
        return None
    ledger: ObjectiveLedger = record.objectives or ObjectiveLedger()
    return (
        _Page(
            patient=patient,
            name=record.name,
            provenance=record.provenance,
            targets=record.targets,
            normalization=record.normalization,
            normalization_value=record.normalization_value,
            dose_etag=record.dose_etag,
            dose_kind=record.dose_kind,
            dose_outdated=record.dose_outdated,
            optimised=record.optimised,
            revision=record.revision,
            objectives=tuple(ledger.entries),
            objectives_issued=ledger.issued,
        )
        .model_dump_json()
        .encode()
    )


def _read(page: _Page) -> PlanRecord:
    return PlanRecord(
        name=page.name,
        provenance=page.provenance,
        targets=page.targets,
        normalization=page.normalization,
        normalization_value=page.normalization_value,
        dose_etag=page.dose_etag,
        dose_kind=page.dose_kind,
        dose_outdated=page.dose_outdated,
        optimised=page.optimised,
        revision=page.revision,
        objectives=ObjectiveLedger(list(page.objectives), page.objectives_issued),
    )
