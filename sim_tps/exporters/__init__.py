"""Handing a plan to other software: image, structures, beams and dose as DICOM RT files.

The one idea: everything in a file follows from the patient and the plan, its UIDs too. So the same export gives the
same files byte for byte, and whatever changes gets another UID. Dates are left empty for the same reason.

`dicom` writes the folder; `dicom_image`, `dicom_structures`, `dicom_plan` and `dicom_dose` each make one kind of object
from what `dicom_object` gives to all of them. `outlines` draws contours. The way back is `sim_tps.importers`.
"""

from sim_tps.exporters.dicom import Written, export_dicom

__all__ = ["Written", "export_dicom"]
