"""Meshes of rings of vertices carried by bones, and what a posture makes of them.

A ring hangs on one bone, or between two with a weight, and keeps its own shape when the joint bends: limbs do
not lose volume as vertex-wise skinning makes them. Skirts and coats, whose sides follow different legs, are
skinned by vertex (`Sheet`).

What belongs to every vertex lies in planes, (3, R, C) for R rings of C vertices: with the components last,
NumPy's innermost loop would run over 3 elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.body import Posture
from edgepose.synth.numeric import FloatArray

IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles of one figure: vertices and normals (V, 3), uv in texels (V, 2), ao (V,), triangles (T, 3).

    materials (T,) and vertex_materials (V,) index the figure's textures; parts (T,) name the bone that
    carries a triangle. The arrays of several columns are transposed planes.
    """

    vertices: FloatArray
    normals: FloatArray
    uv: FloatArray
    ao: FloatArray
    triangles: IntArray
    materials: IntArray
    parts: IntArray
    vertex_materials: IntArray


@lru_cache(maxsize=32)
def _strip(columns: int) -> IntArray:
    """Return the corners (3, 1, T) of the triangles between the first ring of a grid and the second."""
    a = np.arange(columns - 1)
    b, d, e = a + 1, a + columns, a + columns + 1
    out = np.empty((3, 1, 2 * len(a)), dtype=np.int64)
    out[:, 0, 0::2], out[:, 0, 1::2] = (a, b, d), (b, e, d)
    return out


@lru_cache(maxsize=256)
def grid_triangles(lengths: tuple[int, ...], columns: int) -> tuple[IntArray, IntArray]:
    """Return the triangles (3, T) of grids one after the other, and the first ring that each belongs to."""
    rings: list[int] = []
    first = 0
    for length in lengths:
        rings += range(first, first + length - 1)
        first += length
    index, strip = np.array(rings), _strip(columns)
    return (strip + index[:, None] * columns).reshape(3, -1), index.repeat(strip.shape[2])


@lru_cache(maxsize=256)
def ring_neighbours(lengths: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Return the previous and the following ring of every ring, at a grid's end the ring itself."""
    ends = np.cumsum(lengths)
    previous, following = np.arange(-1, ends[-1] - 1), np.arange(1, ends[-1] + 1)
    previous[ends - lengths] += 1
    following[ends - 1] -= 1
    return previous, following


@dataclass(frozen=True, slots=True)
class Rings:
    """All rings of one number of vertices: R of C."""

    bone_a: IntArray
    bone_b: IntArray
    weight: FloatArray  # (R,)
    local_a: FloatArray  # (3, R)
    local_b: FloatArray
    axes: FloatArray  # (3, 3, R): component, axis
    offsets: FloatArray  # (3, R, C)
    previous: IntArray
    following: IntArray
    uv: FloatArray  # (2, R, C)
    ao: FloatArray  # (R,)
    triangles: IntArray  # (3, T)
    ring_of: IntArray  # (T,)
    materials: IntArray  # (R,)
    parts: IntArray  # (R,)

    def pose(self, posture: Posture) -> tuple[FloatArray, FloatArray]:
        """Return vertices and normals (3, R * C)."""
        rotations, origins, w = posture.rotations.transpose(1, 2, 0), posture.origins.T, self.weight
        a, b = rotations.take(self.bone_a, axis=2), rotations.take(self.bone_b, axis=2)
        centre = (origins.take(self.bone_a, axis=1) + _turned(a, self.local_a)) * (1 - w)
        centre += (origins.take(self.bone_b, axis=1) + _turned(b, self.local_b)) * w
        mixed = a * (1 - w) + b * w
        axes = _unit(_turned(mixed[:, :, None], self.axes))[..., None]
        o = self.offsets
        points = centre[..., None] + axes[:, 0] * o[0]
        points += axes[:, 1] * o[1]
        points += axes[:, 2] * o[2]
        return _with_normals(points, self.previous, self.following)


def _with_normals(
    points: FloatArray, previous: IntArray, following: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return the vertices of a grid (3, R, C) and their normals, (3, R * C) each."""
    along = points.take(following, axis=1)
    along -= points.take(previous, axis=1)
    around = np.empty_like(points)
    np.subtract(points[..., 2:], points[..., :-2], out=around[..., 1:-1])
    around[..., 0] = around[..., -1] = points[..., 1] - points[..., -2]
    (ax, ay, az), (bx, by, bz) = around, along
    normals = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    return points.reshape(3, -1), _unit(normals).reshape(3, -1)


def _turned(matrices: FloatArray, v: FloatArray) -> FloatArray:
    """Apply matrices (3, 3, ...) to vectors (3, ...)."""
    out: FloatArray = matrices[:, 0] * v[0] + matrices[:, 1] * v[1] + matrices[:, 2] * v[2]
    return out


def _unit(v: FloatArray) -> FloatArray:
    """Bring vectors (3, ...) to length 1; null vectors stay null."""
    x, y, z = v
    v /= np.maximum(np.sqrt(x * x + y * y + z * z), 1e-12)
    return v


@dataclass(frozen=True, slots=True)
class Sheet:
    """Cloth around both legs: a grid of rest vertices (3, R, C), each carried by pelvis and thighs.

    weights (3, R, C) are those of the bones, uv (2, R, C) is in texels, ao (R, C).
    """

    rest: FloatArray
    bones: tuple[int, int, int]
    weights: FloatArray
    uv: FloatArray
    ao: FloatArray
    material: int

    def pose(self, posture: Posture, rest_origins: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return vertices and normals (3, R * C)."""
        points = np.zeros_like(self.rest)
        for weight, bone in zip(self.weights, self.bones, strict=True):
            local = self.rest - rest_origins[bone][:, None, None]
            turned = _turned(posture.rotations[bone][..., None, None], local)
            points += (posture.origins[bone][:, None, None] + turned) * weight
        rows = np.arange(points.shape[1])
        return _with_normals(points, np.maximum(rows - 1, 0), np.minimum(rows + 1, len(rows) - 1))


@dataclass(frozen=True, slots=True)
class _Static:
    """What no posture changes of a mesh; as in Mesh, but in planes."""

    uv: FloatArray
    ao: FloatArray
    triangles: IntArray
    materials: IntArray
    parts: IntArray
    vertex_materials: IntArray


class TubeMesh:
    """The tubes and sheets of a figure, ready to be posed."""

    def __init__(self, rings: list[Rings]) -> None:
        self._rings = rings
        self._sheets: list[Sheet] = []
        self._rest: FloatArray | None = None
        self._static: _Static | None = None

    def add_sheet(self, sheet: Sheet, rest_origins: FloatArray) -> None:
        """Add cloth around both legs."""
        self._sheets.append(sheet)
        self._rest = rest_origins
        self._static = None

    def pose(self, posture: Posture) -> Mesh:
        """Return the mesh in that posture."""
        posed = [rings.pose(posture) for rings in self._rings]
        for sheet in self._sheets:
            assert self._rest is not None
            posed.append(sheet.pose(posture, self._rest))
        if self._static is None:
            self._static = self._freeze()
        static = self._static
        return Mesh(
            vertices=np.concatenate([points for points, _ in posed], axis=1).T,
            normals=np.concatenate([normals for _, normals in posed], axis=1).T,
            uv=static.uv.T,
            ao=static.ao,
            triangles=static.triangles.T,
            materials=static.materials,
            parts=static.parts,
            vertex_materials=static.vertex_materials,
        )

    def _freeze(self) -> _Static:
        uv, ao, triangles, materials, parts, vertex_materials = [], [], [], [], [], []
        first = 0
        for rings in self._rings:
            columns = rings.uv.shape[2]
            uv.append(rings.uv.reshape(2, -1))
            ao.append(np.repeat(rings.ao, columns))
            triangles.append(rings.triangles + first)
            materials.append(rings.materials.take(rings.ring_of))
            parts.append(rings.parts.take(rings.ring_of))
            vertex_materials.append(np.repeat(rings.materials, columns))
            first += len(ao[-1])
        for sheet in self._sheets:
            grid, _ = grid_triangles(sheet.ao.shape[:1], sheet.ao.shape[1])
            uv.append(sheet.uv.reshape(2, -1))
            ao.append(sheet.ao.reshape(-1))
            triangles.append(grid + first)
            materials.append(np.full(grid.shape[1], sheet.material))
            parts.append(np.full(grid.shape[1], sheet.bones[0]))
            vertex_materials.append(np.full(sheet.ao.size, sheet.material))
            first += sheet.ao.size
        return _Static(
            np.concatenate(uv, axis=1).astype(np.float32),
            np.concatenate(ao).astype(np.float32),
            np.concatenate(triangles, axis=1),
            np.concatenate(materials),
            np.concatenate(parts),
            np.concatenate(vertex_materials),
        )
