"""What the emulation can ask, one method per verb.

The one idea: a verb gets the request's header and answers with facts for the reply's header, and a blob where there is
an array; `answer` adds whether it went well. Arrays leave in the image's own voxel order, everything else in DICOM
patient coordinates.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.backends.emulated_eclipse import segments
from bridge.backends.emulated_eclipse.calculations import Calculations, Request
from bridge.backends.emulated_eclipse.hospital import Chart, Hospital
from bridge.backends.emulated_eclipse.plans import Say
from sim_tps.dvh import DoseVolume
from sim_tps.errors import NotFound, Refused, TpsError
from sim_tps.patient import Structure
from sim_tps.plan import Dose

Reply = tuple[dict[str, Any], bytes]
_DOSES_SAMPLED = 3
"""So many doses stay sampled in the structures that were asked about: some ten MB each."""


class Verbs:
    """A folder of patients, and everything that is asked about them."""

    def __init__(self, folder: Path) -> None:
        self._hospital = Hospital(folder)
        self._calculations = Calculations()
        self._volumes: dict[str, dict[str, DoseVolume]] = {}
        self._verbs: Mapping[str, Callable[[_Asked, Say], dict[str, Any] | Reply]] = {
            "summaries": self._summaries,
            "open": self._open,
            "save": self._save,
            "image": self._image,
            "segment": self._segment,
            "contours": self._contours,
            "contour_edit": self._contour_edit,
            "inside": self._inside,
            "optimise": self._optimise,
            "leaf_motions": self._leaf_motions,
            "dose": self._dose,
            "dose_info": self._dose_info,
            "dose_voxels": self._dose_voxels,
            "point_dose": self._point_dose,
            "dvh": self._dvh,
            "dose_at_volume": self._dose_at_volume,
            "volume_at_dose": self._volume_at_dose,
        }

    def answer(self, header: Mapping[str, Any], say: Say) -> Reply:
        """The reply to a request; an error is a reply that says so."""
        try:
            asked = _Asked(header)
            verb = asked["verb"]
            if verb not in self._verbs:
                raise NotFound(f"no verb {verb!r}; there are {', '.join(self._verbs)}.")
            made = self._verbs[verb](asked, say)
        except NotFound as error:
            return _failure("NotFound", str(error))
        except TpsError as error:
            return _failure("Refused", str(error))
        except Exception as error:  # whatever goes wrong is an answer: the pipe must not fall silent
            traceback.print_exc(file=sys.stderr)
            return _failure("Failed", f"{type(error).__name__}: {error}")
        facts, blob = made if isinstance(made, tuple) else (made, b"")
        return {"ok": True, **facts}, blob

    # patients ---------------------------------------------------------------------------------------------------

    def _summaries(self, _asked: _Asked, _say: Say) -> dict[str, Any]:
        wanted = ("id", "first_name", "last_name")
        return {"patients": [{key: record[key] for key in wanted} for record in self._hospital.records()]}

    def _open(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        self._volumes.clear()
        return {"patient": self._hospital.open(asked["patient"]).record}

    def _save(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        record = _Asked(asked["patient"])
        self._hospital.chart(record["id"]).save(record)
        return {}

    def _image(self, asked: _Asked, _say: Say) -> Reply:
        chart = self._chart(asked)
        return {}, _blob(chart, chart.hu, "<i2")

    # segments ---------------------------------------------------------------------------------------------------

    def _segment(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        chart, operation = self._chart(asked), asked["op"]
        a, image = chart.thing(asked["a"], Structure), segments.whole_image(chart.grid)
        match operation:
            case "margin":
                made = segments.grown(a, float(asked["mm"]), image)
            case "asymmetric":
                made = segments.grown_by_sides(a, asked["margins"], bool(asked["inner"]), image)
            case "not":
                made = segments.inverted(a, image)
            case "and" | "or" | "sub" | "xor":
                made = segments.combined(operation, a, chart.thing(asked["b"], Structure), image)
            case "high_resolution":
                made = a
            case _:
                raise Refused(f"segment operation {operation!r}, expected one of {', '.join(segments.OPERATIONS)}.")
        return _segment_facts(chart, made)

    def _contours(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        chart = self._chart(asked)
        drawn = segments.contours(chart.thing(asked["segment"], Structure))
        return {"planes": {str(_plane(chart, index)): polygons for index, polygons in drawn.items()}}

    def _contour_edit(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        chart, points = self._chart(asked), asked.get("points")
        a = None if asked["segment"] is None else chart.thing(asked["segment"], Structure)
        outline = _points(points)[:, :2] if points else None
        plane = int(asked["plane"])
        return _segment_facts(chart, segments.redrawn(a, _plane(chart, plane), outline, asked["op"], chart.grid))

    def _inside(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        segment = self._chart(asked).thing(asked["segment"], Structure)
        return {"inside": segments.contains(segment, _points(asked["points"]))}

    # calculations -----------------------------------------------------------------------------------------------

    def _optimise(self, asked: _Asked, say: Say) -> dict[str, Any]:
        request, iterations = self._request(asked, say), asked.get("iterations")
        outcome = self._calculations.optimise(request, warm=bool(asked["warm"]), iterations=iterations)
        return outcome.reply(request.plan)

    def _leaf_motions(self, asked: _Asked, say: Say) -> dict[str, Any]:
        request = self._request(asked, say)
        return self._calculations.leaf_motions(request).reply(request.plan)

    def _dose(self, asked: _Asked, say: Say) -> dict[str, Any]:
        request = self._request(asked, say)
        return self._calculations.dose(request).reply(request.plan)

    # doses ------------------------------------------------------------------------------------------------------

    def _dose_info(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        chart, dose = self._dose_of(asked)
        hottest = int(np.argmax(dose.gy))
        position_mm = dose.grid.centres_mm(np.array([hottest]))[0]
        facts = {"max_gy": float(dose.gy.flat[hottest]), "max_position": position_mm.tolist()}
        return {**chart.lies.geometry(dose.grid), **facts}

    def _dose_voxels(self, asked: _Asked, _say: Say) -> Reply:
        chart, dose = self._dose_of(asked)
        return {}, _blob(chart, dose.gy, "<f4")

    def _point_dose(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        _, dose = self._dose_of(asked)
        place = (_points(asked["points"]) - np.array(dose.grid.origin_mm)) / np.array(dose.grid.spacing_mm)
        gy = ndimage.map_coordinates(dose.gy, place[:, ::-1].T, order=1, mode="nearest")
        covered = ((place >= -0.5) & (place <= np.array(dose.grid.shape[::-1]) - 0.5)).all(axis=1)
        return {"gy": [float(value) if known else None for value, known in zip(gy, covered, strict=True)]}

    def _dvh(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        volume = self._volume(asked)
        dose_gy, volume_percent = volume.curve(float(asked["bin_gy"]))
        return {
            "dose_gy": dose_gy.tolist(),
            "volume_percent": volume_percent.tolist(),
            "min_gy": volume.min,
            "max_gy": volume.max,
            "mean_gy": volume.mean,
            "median_gy": volume.median,
            "std_gy": _deviation_gy(volume),
            "coverage": volume.coverage_percent / 100.0,
            "volume_cc": volume.volume_cc,
        }

    def _dose_at_volume(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        volume, asked_volume = self._volume(asked), float(asked["volume"])
        return {"gy": volume.dose_at_cc(asked_volume) if asked["cc"] else volume.dose_at_percent(asked_volume)}

    def _volume_at_dose(self, asked: _Asked, _say: Say) -> dict[str, Any]:
        volume = self._volume(asked)
        cc = volume.volume_at(float(asked["gy"]))
        return {"cc": cc, "percent": 100.0 * cc / volume.volume_cc}

    # helpers ----------------------------------------------------------------------------------------------------

    def _chart(self, asked: _Asked) -> Chart:
        return self._hospital.chart(asked["patient"])

    def _request(self, asked: _Asked, say: Say) -> Request:
        return Request(self._chart(asked), _Asked(asked["plan"]), asked["structures"], self._hospital.options, say)

    def _dose_of(self, asked: _Asked) -> tuple[Chart, Dose]:
        chart = self._hospital.owner(asked["dose"])
        return chart, chart.thing(asked["dose"], Dose)

    def _volume(self, asked: _Asked) -> DoseVolume:
        """A dose in a segment, scaled as asked; its samples are kept."""
        known = self._volumes.setdefault(asked["dose"], {})
        while len(self._volumes) > _DOSES_SAMPLED:
            self._volumes.pop(next(iter(self._volumes)))
        if asked["segment"] not in known:
            known[asked["segment"]] = self._sampled(asked)
        return known[asked["segment"]].scaled(float(asked["scale"]))

    def _sampled(self, asked: _Asked) -> DoseVolume:
        chart = self._chart(asked)
        dose, segment = chart.thing(asked["dose"], Dose), chart.thing(asked["segment"], Structure)
        if segment.is_empty:
            raise Refused(f"{asked['segment']!r} is empty: it has no dose.")
        return DoseVolume.of(segment, dose.gy, dose.grid)


class _Asked(dict[str, Any]):
    """A part of a request that names the key it lacks."""

    def __missing__(self, key: str) -> Any:
        raise Refused(f"the request lacks {key!r}; it has {', '.join(self) or 'nothing'}.")


def _failure(kind: str, message: str) -> Reply:
    return {"ok": False, "kind": kind, "message": message}, b""


def _segment_facts(chart: Chart, segment: Structure) -> dict[str, Any]:
    return {
        "segment": chart.keep(segment),
        "volume_cc": segment.volume_cc,
        "centre": None if segment.is_empty else list(segment.centre_mm()),
        "empty": segment.is_empty,
        "parts": segments.part_count(segment),
        "edge": segment.cut_by_image_edge,
    }


def _plane(chart: Chart, index: int) -> int:
    return chart.lies.plane(index, chart.grid.shape[0])


def _points(asked: list[list[float]]) -> NDArray[np.float64]:
    return np.array(asked, np.float64).reshape(-1, 3)


def _blob(chart: Chart, values: NDArray[Any], kind: str) -> bytes:
    return chart.lies.flipped(values).astype(kind).tobytes()


def _deviation_gy(volume: DoseVolume) -> float:
    apart = (volume.dose_gy.astype(np.float64) - volume.mean) ** 2
    return float(np.sqrt(np.average(apart, weights=volume.sample_cc)))
