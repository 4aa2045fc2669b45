"""One DICOM object with the file it came from, so that every complaint can name both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from sim_tps.errors import BadInput

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""ImageOrientationPatient of slices whose rows run to the patient's left and whose columns run to posterior."""
ORIENTATION_TOLERANCE = 1e-3
"""Of direction cosines: 0.06 degrees, 0.3 mm over half an image."""


UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A dataset and where it was read from."""

    path: Path
    data: Dataset

    @property
    def modality(self) -> str:
        return self.text("Modality")

    def text(self, keyword: str) -> str:
        """A text element, empty where it is absent."""
        value = self.data.get(keyword)
        return "" if value is None else str(value)

    def numbers(self, keyword: str, count: int | None = None) -> NDArray[np.float64]:
        """A numeric element that must be there, with ``count`` finite values."""
        value = self.data.get(keyword)
        try:
            numbers = np.atleast_1d(np.asarray(value, np.float64)) if value is not None else np.zeros(0)
        except (TypeError, ValueError):
            numbers = np.zeros(0)
        if numbers.size == 0 or (count is not None and numbers.size != count) or not np.isfinite(numbers).all():
            wanted = "numbers" if count is None else f"{count} number{'s' if count > 1 else ''}"
            raise BadInput(f"{self.path.name}: {keyword} is {value!r}, expected {wanted}; it may be cut short.")
        return numbers

    def number(self, keyword: str) -> float:
        return float(self.numbers(keyword, 1)[0])

    def items(self, keyword: str) -> Items | list[Dataset]:
        """A sequence, empty where it is absent."""
        return self.data.get(keyword) or []

    def pixels(self) -> NDArray[np.integer]:
        """Stored pixel values."""
        try:
            return self.data.pixel_array
        except (AttributeError, ValueError, RuntimeError, NotImplementedError, KeyError, TypeError) as error:
            raise BadInput(
                f"{self.path.name}: its pixels cannot be read ({error}); cut short, or compressed in a way not known "
                "here. Export it again, uncompressed."
            ) from error

    def require_axial(self) -> None:
        orientation = self.numbers("ImageOrientationPatient", 6)
        if np.abs(orientation - AXIAL).max() > ORIENTATION_TOLERANCE:
            raise BadInput(
                f"{self.path.name}: ImageOrientationPatient is {orientation.tolist()}, expected {list(AXIAL)}: axial "
                "slices, head first supine, no tilt. Other orientations cannot be planned here."
            )

    def sequence(self, keyword: str) -> Items:
        """A sequence that must be there."""
        if keyword not in self.data:
            raise BadInput(f"{self.path.name}: no {keyword}; it may be cut short. Export it again.")
        return self.data[keyword].value

    def whole_number(self, item: Dataset, keyword: str) -> int:
        """A number that each item of a sequence must have."""
        value = item.get(keyword)
        if value is None:
            raise BadInput(f"{self.path.name}: an item without {keyword}; it may be cut short. Export it again.")
        return int(value)

    def frames_of_reference(self) -> set[str]:
        """Frames of reference that a structure set names."""
        return set(self._frames())

    def _frames(self) -> Iterator[str]:
        for keyword in ("ReferencedFrameOfReferenceSequence", "StructureSetROISequence"):
            for item in self.items(keyword):
                yield str(item.get("FrameOfReferenceUID") or item.get("ReferencedFrameOfReferenceUID") or "")


def is_whole(data: Dataset) -> bool:
    """Whether every element is as long as it says: a file that ends too soon is read without complaint otherwise."""
    for tag in list(data.keys()):
        element = data.get_item(tag)
        if isinstance(element, RawDataElement):
            size = 0 if element.value is None else len(element.value)
            if element.length not in (UNDEFINED_LENGTH, size):
                return False
        elif element.VR == "SQ" and not all(is_whole(item) for item in element.value):
            return False
    return True
