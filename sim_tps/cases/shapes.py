"""Implicit shapes: anatomy as distance functions.

A shape answers one question, ``distance(x, y, z)``: about how many mm a point lies outside it (negative inside).
Everything else follows: unions are minima, blends are smooth minima, margins are shifts, individual variation is a
smooth random ripple added to the distance. Points come as open grids (see ``OpenGrid``), so a ripple over a whole head
is one matrix product. Distances are first-order right near the surface; `sim_tps.cases.canvas` normalises them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from sim_tps.cases._kernels import tube_distance
from sim_tps.geometry import Vector

Array = NDArray[np.float32]
FAR_MM = 1e4


class OpenGrid(NamedTuple):
    """Coordinates in mm that broadcast to ``[z, y, x]``: shapes (1, 1, nx), (1, ny, 1), (nz, 1, 1)."""

    x: Array
    y: Array
    z: Array


class Bounds(NamedTuple):
    """A box in mm that holds the whole shape."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def padded(self, mm: float) -> Bounds:
        return Bounds(self.low - mm, self.high + mm)

    def joined(self, other: Bounds) -> Bounds:
        return Bounds(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def met(self, other: Bounds) -> Bounds:
        return Bounds(np.maximum(self.low, other.low), np.minimum(self.high, other.high))


class Shape:
    """A solid given by its signed distance."""

    @property
    def bounds(self) -> Bounds:
        raise NotImplementedError(f"{type(self).__name__} must say its bounds")

    def distance(self, at: OpenGrid) -> Array:
        """Signed distance in mm on an open grid, shape ``[z, y, x]``; negative inside."""
        raise NotImplementedError(f"{type(self).__name__} must say its distance")

    def __or__(self, other: Shape) -> Shape:
        return Union((self, other))

    def __and__(self, other: Shape) -> Shape:
        return Intersection(self, other)

    def __sub__(self, other: Shape) -> Shape:
        return Difference(self, other)

    def grown(self, mm: float) -> Shape:
        """The surface moved outwards by ``mm`` (inwards where negative)."""
        return Grown(self, mm)

    def blended(self, other: Shape, blend_mm: float) -> Shape:
        """The union with the crease between the two filled over about ``blend_mm``."""
        return Union((self, other), blend_mm)

    def rippled(self, rng: np.random.Generator, amplitude_mm: float, wavelength_mm: float) -> Shape:
        """The surface moved in and out by a smooth random field of that standard deviation and scale."""
        return Rippled(self, amplitude_mm, Ripple.drawn(rng, wavelength_mm))


@dataclass(frozen=True)
class Ellipsoid(Shape):
    """An ellipsoid, or with ``power`` above 2 a superellipsoid (flatter sides); turned by ``axes``."""

    centre: Vector
    radii: Vector
    power: float = 2.0
    axes: NDArray[np.float64] | None = None
    """Columns are the directions of the three radii; the patient's x, y, z where absent."""

    @property
    def bounds(self) -> Bounds:
        centre, radii = np.asarray(self.centre, float), np.asarray(self.radii, float)
        reach = radii if self.axes is None else np.abs(self.axes) @ radii
        return Bounds(centre - reach, centre + reach)

    def distance(self, at: OpenGrid) -> Array:
        offset = [c - np.float32(m) for c, m in zip(at, self.centre, strict=True)]
        if self.axes is not None:
            offset = [sum(np.float32(self.axes[j, i]) * offset[j] for j in range(3)) for i in range(3)]
        return _superellipse(offset, self.radii, self.power)


@dataclass(frozen=True)
class Tube(Shape):
    """A round tube along a smooth curve through ``points``, its radius following ``radii``."""

    points: Sequence[Vector]
    radii: Sequence[float]
    steps: int = 4
    """Straight pieces between neighbouring points."""

    @property
    def bounds(self) -> Bounds:
        path, radius = self._path()
        return Bounds((path - radius[:, None]).min(0), (path + radius[:, None]).max(0))

    def distance(self, at: OpenGrid) -> Array:
        path, radius = self._path()
        return tube_distance(at.x.ravel(), at.y.ravel(), at.z.ravel(), path, radius)

    def _path(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        points = np.asarray(self.points, float)
        knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        fine = np.interp(np.linspace(0, len(points) - 1, self.steps * (len(points) - 1) + 1), range(len(points)), knots)
        return PchipInterpolator(knots, points)(fine), np.interp(fine, knots, np.asarray(self.radii, float))


class Section(NamedTuple):
    """One axial cross-section of a `Loft`, mm."""

    z: float
    x: float
    """Centre."""
    y: float
    """Where the widest point is; the section reaches ``front`` anterior and ``back`` posterior of it."""
    half_width: float
    front: float
    back: float


@dataclass(frozen=True)
class Loft(Shape):
    """A solid through axial cross-sections, smooth in between: trunk, neck, cord, rectum."""

    sections: Sequence[Section]
    """In rising or falling z."""
    power: float = 2.0
    """2: ellipses; more: towards rectangles."""

    @property
    def bounds(self) -> Bounds:
        s = np.asarray(self.sections, float)
        low = np.array([(s[:, 1] - s[:, 3]).min(), (s[:, 2] - s[:, 4]).min(), s[:, 0].min()])
        high = np.array([(s[:, 1] + s[:, 3]).max(), (s[:, 2] + s[:, 5]).max(), s[:, 0].max()])
        return Bounds(low, high)

    def distance(self, at: OpenGrid) -> Array:
        table = np.asarray(self.sections, float)
        table = table[np.argsort(table[:, 0])]
        bottom, top = table[0, 0], table[-1, 0]
        curves = PchipInterpolator(table[:, 0], table[:, 1:])
        height = np.clip(at.z, bottom, top)
        cx, cy, width, front, back = np.moveaxis(curves(height), -1, 0).astype(np.float32)
        slope_width, slope_front = np.abs(np.moveaxis(curves.derivative()(height), -1, 0)[[2, 3]]).astype(np.float32)
        dx, dy = at.x - cx, at.y - cy
        across = np.where(dy < 0, front, back)
        flat = _superellipse([dx, dy], [width, across], self.power)
        share = np.abs(dx / width) / (np.abs(dx / width) + np.abs(dy / across) + np.float32(1e-6))
        lean = share * slope_width + (1 - share) * slope_front
        flat = flat / np.sqrt(1 + lean * lean)
        return np.maximum(flat, np.maximum(at.z - np.float32(top), np.float32(bottom) - at.z))


@dataclass(frozen=True)
class HalfSpace(Shape):
    """Everything behind a plane; ``normal`` points out of the solid."""

    point: Vector
    normal: Vector

    @property
    def bounds(self) -> Bounds:
        return Bounds(np.full(3, -FAR_MM), np.full(3, FAR_MM))

    def distance(self, at: OpenGrid) -> Array:
        unit = np.asarray(self.normal, float) / np.linalg.norm(self.normal)
        return sum(np.float32(n) * (c - np.float32(p)) for n, c, p in zip(unit, at, self.point, strict=True))


@dataclass(frozen=True)
class Union(Shape):
    """Several shapes as one; with ``blend_mm`` the creases between them are filled."""

    parts: Sequence[Shape]
    blend_mm: float = 0.0

    @property
    def bounds(self) -> Bounds:
        bounds = self.parts[0].bounds
        for part in self.parts[1:]:
            bounds = bounds.joined(part.bounds)
        return bounds.padded(self.blend_mm / 4)

    def distance(self, at: OpenGrid) -> Array:
        nearest = self.parts[0].distance(at)
        for part in self.parts[1:]:
            nearest = _smooth_minimum(nearest, part.distance(at), self.blend_mm)
        return nearest


@dataclass(frozen=True)
class Intersection(Shape):
    """What lies in both."""

    first: Shape
    second: Shape

    @property
    def bounds(self) -> Bounds:
        return self.first.bounds.met(self.second.bounds)

    def distance(self, at: OpenGrid) -> Array:
        return np.maximum(self.first.distance(at), self.second.distance(at))


@dataclass(frozen=True)
class Difference(Shape):
    """The first without the second."""

    first: Shape
    second: Shape

    @property
    def bounds(self) -> Bounds:
        return self.first.bounds

    def distance(self, at: OpenGrid) -> Array:
        return np.maximum(self.first.distance(at), -self.second.distance(at))


@dataclass(frozen=True)
class Grown(Shape):
    """A shape with its surface moved outwards."""

    shape: Shape
    mm: float

    @property
    def bounds(self) -> Bounds:
        return self.shape.bounds.padded(self.mm)

    def distance(self, at: OpenGrid) -> Array:
        return self.shape.distance(at) - np.float32(self.mm)


@dataclass(frozen=True)
class Rippled(Shape):
    """A shape whose surface is moved by a smooth random field."""

    shape: Shape
    amplitude_mm: float
    ripple: Ripple

    @property
    def bounds(self) -> Bounds:
        return self.shape.bounds.padded(2.5 * self.amplitude_mm)

    def distance(self, at: OpenGrid) -> Array:
        return self.shape.distance(at) + np.float32(self.amplitude_mm) * self.ripple.values(at)


@dataclass(frozen=True)
class Ripple:
    """A smooth random field of mean 0 and variance 1: a sum of plane waves with random directions and phases."""

    waves: NDArray[np.float64] = field(repr=False)
    """Wave vectors in rad/mm, (n, 3), ordered x, y, z."""
    phases: NDArray[np.float64] = field(repr=False)

    @classmethod
    def drawn(cls, rng: np.random.Generator, wavelength_mm: float, count: int = 12) -> Ripple:
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = 2 * np.pi / wavelength_mm * rng.uniform(0.6, 1.4, (count, 1))
        return cls(directions * lengths, rng.uniform(0, 2 * np.pi, count))

    def values(self, at: OpenGrid) -> Array:
        """The field on an open grid: each wave is a product of one factor along z and one over the (y, x) plane."""
        x, y, z = (axis.ravel().astype(np.float64) for axis in at)
        along_z = np.outer(z, self.waves[:, 2]) + self.phases
        wave_y, wave_x = (np.outer(self.waves[:, i], c).astype(np.float32) for i, c in ((1, y), (0, x)))
        cos_y, sin_y, cos_x, sin_x = np.cos(wave_y), np.sin(wave_y), np.cos(wave_x), np.sin(wave_x)
        plane = np.empty((2, len(self.waves), len(y), len(x)), np.float32)
        plane[0] = cos_y[:, :, None] * cos_x[:, None] - sin_y[:, :, None] * sin_x[:, None]
        plane[1] = sin_y[:, :, None] * cos_x[:, None] + cos_y[:, :, None] * sin_x[:, None]
        left = np.concatenate([np.cos(along_z), -np.sin(along_z)], axis=1).astype(np.float32)
        left *= np.float32(np.sqrt(2 / len(self.waves)))
        return (left @ plane.reshape(2 * len(self.waves), -1)).reshape(len(z), len(y), len(x))


def distance_at(shape: Shape, point: Vector) -> float:
    """The shape's distance at one point, mm."""
    x, y, z = (np.full((1, 1, 1), c, np.float32) for c in point)
    return float(np.ravel(shape.distance(OpenGrid(x, y, z)))[0])


def mirrored(centre: Vector) -> tuple[Vector, Vector]:
    """A point on the patient's left and its twin on the right, about the plane x = 0."""
    return centre, (-centre[0], centre[1], centre[2])


def turned(yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> NDArray[np.float64]:
    """Axes of an ellipsoid turned about z (yaw), then x (pitch), then y (roll); right-handed, active."""
    (cz, cx, cy), (sz, sx, sy) = (f(np.radians([yaw_deg, pitch_deg, roll_deg])) for f in (np.cos, np.sin))
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_y @ about_x @ about_z


def _superellipse(offset: Sequence[Array], radii: Sequence[float | Array], power: float) -> Array:
    """First-order distance (f - 1) / |grad f| for f = (sum |d / r|^p)^(1/p)."""
    scaled = [
        np.abs(d) / np.float32(r) if np.isscalar(r) else np.abs(d) / r for d, r in zip(offset, radii, strict=True)
    ]
    if power == 2.0:
        total = sum(u * u for u in scaled)
        steep = sum((u / r) ** 2 for u, r in zip(scaled, radii, strict=True))
        size = np.sqrt(total)
        return (size - 1) * size / np.sqrt(steep + np.float32(1e-12))
    powers = [u ** np.float32(power) for u in scaled]
    total = sum(powers) + np.float32(1e-12)
    size = total ** np.float32(1 / power)
    steep = sum((q / ((u + np.float32(1e-6)) * r)) ** 2 for q, u, r in zip(powers, scaled, radii, strict=True))
    return (size - 1) * total / (size * np.sqrt(steep) + np.float32(1e-12))


def _smooth_minimum(a: Array, b: Array, blend_mm: float) -> Array:
    """Polynomial smooth minimum: exact where the two differ by more than ``blend_mm``."""
    if blend_mm <= 0:
        return np.minimum(a, b)
    overlap = np.maximum(np.float32(blend_mm) - np.abs(a - b), 0)
    return np.minimum(a, b) - overlap * overlap / np.float32(4 * blend_mm)
