"""Bringing a patient in: from a folder of DICOM files or from one npz file, to one `Patient`.

The one idea: an import does not mend data in silence. What cannot be used is refused with the file, the value and what
to do; what can be used but is unusual, and everything the import decided by itself, becomes a finding on the patient.

`dicom` and `npz` read; both hand what they read to `assembly`, which names, sorts and checks it in one way for both.
"""

from __future__ import annotations

from pathlib import Path

from sim_tps.errors import BadInput
from sim_tps.importers.dicom import import_dicom
from sim_tps.importers.npz import import_npz
from sim_tps.patient import Patient

__all__ = ["import_dicom", "import_npz", "import_patient"]


def import_patient(path: str | Path, *, id: str | None = None, series_uid: str | None = None) -> Patient:
    """Read a patient from a DICOM folder or an npz file.

    Parameters
    ----------
    path
        A folder (DICOM: one CT series, one RTSTRUCT, and RTPLAN and RTDOSE where present) or a ``.npz`` file.
    id
        The patient's id here; absent: the folder's or file's name.
    series_uid
        Which CT series to take, where a DICOM folder holds several.

    Raises
    ------
    BadInput
        When the data cannot be used; the message names the file, the value, what was expected and what to do.
    """
    path = Path(path)
    if path.is_dir():
        return import_dicom(path, id=id, series_uid=series_uid)
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder.")
    if path.suffix.lower() == ".npz":
        if series_uid is not None:
            raise BadInput(f"{path.name}: an npz file has no series; leave series_uid (--series) out.")
        return import_npz(path, id=id)
    raise BadInput(f"{path.name}: expected a folder of DICOM files or an .npz file; for DICOM give the whole folder.")
