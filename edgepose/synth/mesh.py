"""Meshes made of tubes: rings of vertices carried by bones.

A ring hangs on one bone, or between two with a weight, and keeps its own shape when the joint bends: limbs do
not lose volume as vertex-wise skinning makes them. Skirts and coats, whose sides follow different legs, are
skinned by vertex (`Sheet`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.body import BONE, BONES, Posture
from edgepose.synth.numeric import PI, FloatArray, cross, normalised, rotate, sin_cos_array, smoothstep

IntArray = NDArray[np.integer[Any]]

# Ring axes (x, z) for tubes whose rings run down the body, along the foot, and along either shoulder.
DOWN = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
FORWARD = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
LEFT = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
RIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0))

_MIRROR = np.array(
    [BONE[f"{name[:-2]}_r"] if name.endswith("_l") else index for index, name in enumerate(BONES)]
)


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles of one figure: vertices and normals (V, 3), uv in texels (V, 2), ao (V,), triangles (T, 3).

    materials (T,) and vertex_materials (V,) index the figure's textures; parts (T,) name the bone that
    carries a triangle.
    """

    vertices: FloatArray
    normals: FloatArray
    uv: FloatArray
    ao: FloatArray
    triangles: IntArray
    materials: IntArray
    parts: IntArray
    vertex_materials: IntArray


@dataclass(frozen=True, slots=True)
class Blend:
    """Which bones carry the rings: bone_a with weight 1 - weight, bone_b with weight."""

    bone_a: IntArray
    bone_b: IntArray
    weight: FloatArray


def chain(y: FloatArray, bones: Sequence[int], joints_y: Sequence[float], half_width: float) -> Blend:
    """Assign rings at descending heights y to a chain of bones that meet at joints_y (descending)."""
    bone_a = np.full(len(y), bones[0])
    for joint_y, bone in zip(joints_y, bones[1:], strict=True):
        bone_a[y < joint_y] = bone
    bone_b, weight = bone_a.copy(), np.zeros(len(y))
    for index, joint_y in enumerate(joints_y):
        near = np.abs(y - joint_y) < half_width
        bone_a[near], bone_b[near] = bones[index], bones[index + 1]
        weight[near] = smoothstep(-half_width, half_width, joint_y - y[near])
    return Blend(bone_a, bone_b, weight)


def on(bone: int, count: int) -> Blend:
    """Hang all rings on one bone."""
    bones = np.full(count, bone)
    return Blend(bones, bones, np.zeros(count))


def interpolate(x: FloatArray, xs: FloatArray, ys: FloatArray) -> FloatArray:
    """Interpolate ys (N, ...), given at ascending xs, at x (np.interp's last bits depend on the CPU)."""
    index = np.minimum(np.maximum(np.searchsorted(xs, x, side="right") - 1, 0), len(xs) - 2)
    t = np.minimum(np.maximum((x - xs[index]) / (xs[index + 1] - xs[index]), 0.0), 1.0)
    t = t.reshape(t.shape + (1,) * (ys.ndim - 1))
    out: FloatArray = ys[index] * (1 - t) + ys[index + 1] * t
    return out


@lru_cache(maxsize=32)
def _circle(segments: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return cos, sin and u of a ring's vertices; u is 0 and 1 at the back and 0.25 on the left."""
    u = np.arange(segments + 1) / segments
    angles = (u - 0.25) * (2 * PI)
    sine, cosine = sin_cos_array(angles)
    return cosine, sine, u


@lru_cache(maxsize=256)
def _grid_triangles(rings: int, columns: int) -> IntArray:
    r = np.repeat(np.arange(rings - 1), columns - 1)
    c = np.tile(np.arange(columns - 1), rings - 1)
    a = r * columns + c
    b, d, e = a + 1, a + columns, a + columns + 1
    return np.stack([np.stack([a, b, d], 1), np.stack([b, e, d], 1)], 1).reshape(-1, 3)


@lru_cache(maxsize=256)
def _squared(segments: int, square: float) -> FloatArray:
    """Return the factors on a ring's radius that square it, round at 0."""
    cosine, sine, _ = _circle(segments)
    return 1.0 + square * (1.0 / np.maximum(np.abs(cosine), np.abs(sine)) - 1.0)


@lru_cache(maxsize=256)
def _neighbours(lengths: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Return the previous and the following ring of every ring, at a tube's end the ring itself."""
    previous, following, first = [], [], 0
    for rings in lengths:
        index = np.arange(first, first + rings)
        previous.append(np.maximum(index - 1, first))
        following.append(np.minimum(index + 1, first + rings - 1))
        first += rings
    return np.concatenate(previous), np.concatenate(following)


@lru_cache(maxsize=256)
def _tube_triangles(lengths: tuple[int, ...], columns: int) -> tuple[IntArray, IntArray]:
    """Return the triangles of tubes one after the other, and the first ring that each belongs to."""
    triangles, rings, first = [], [], 0
    for length in lengths:
        triangles.append(_grid_triangles(length, columns) + first * columns)
        rings.append(np.repeat(np.arange(first, first + length - 1), 2 * (columns - 1)))
        first += length
    return np.concatenate(triangles), np.concatenate(rings)


@dataclass(slots=True)
class _Tubes:
    """All tubes of one ring size."""

    centres: list[FloatArray]
    extents: list[FloatArray]
    axes: list[FloatArray]
    blends: list[Blend]
    outlines: list[FloatArray]
    axial: list[FloatArray | None]
    uv: list[FloatArray]
    ao: list[FloatArray]
    materials: list[int]
    lengths: list[tuple[int, ...]]


class MeshBuilder:
    """Collect the tubes of a figure in its rest pose."""

    def __init__(self, rest_origins: FloatArray, scale: float) -> None:
        self._rest = rest_origins
        self._scale = scale
        self._tubes: dict[int, _Tubes] = {}

    def tube(
        self,
        centres: Any,
        extents: Any,
        blend: Blend,
        material: int,
        *,
        segments: int = 12,
        axes: Any = DOWN,
        square: float | FloatArray = 0.0,
        outline: FloatArray | None = None,
        axial: FloatArray | None = None,
        repeat_u: int = 1,
        v_texels: FloatArray | None = None,
        ao: float = 1.0,
        lengths: tuple[int, ...] | None = None,
    ) -> None:
        """Add a tube of R rings.

        centres (R, 3) and extents (R, 3: half width, front and back depth) are in metres of the 1.75 m body.
        square rounds (0) or squares (1) the rings, outline (R, S + 1) multiplies their radius, and axial (R,
        S + 1) shifts vertices against the tube's direction. v_texels default to 128 texels per 0.32 m.
        lengths cut the rings into several tubes.
        """
        tubes = self._tubes.get(segments)
        if tubes is None:
            tubes = self._tubes[segments] = _Tubes([], [], [], [], [], [], [], [], [], [])
        c = np.asarray(centres, dtype=np.float64)
        rings = len(c)
        _, _, u = _circle(segments)
        if isinstance(square, float):
            shape = _squared(segments, square)[None].repeat(rings, axis=0)
        else:
            shape = 1.0 + square[:, None] * (_squared(segments, 1.0) - 1.0)
        if outline is not None:
            shape = shape * outline
        if v_texels is None:
            step = c[1:] - c[:-1]
            length = np.sqrt(step[:, 0] * step[:, 0] + step[:, 1] * step[:, 1] + step[:, 2] * step[:, 2])
            v_texels = np.zeros(rings)
            np.cumsum(length * 400.0, out=v_texels[1:])
        uv = np.empty((rings, segments + 1, 2))
        uv[..., 0] = u * (128.0 * repeat_u)
        uv[..., 1] = v_texels[:, None]
        turned = np.empty((rings, 2, 3))
        turned[:] = axes
        tubes.centres.append(c)
        tubes.extents.append(np.asarray(extents, dtype=np.float64))
        tubes.axes.append(turned)
        tubes.blends.append(blend)
        tubes.outlines.append(shape)
        tubes.axial.append(axial)
        tubes.uv.append(uv)
        tubes.ao.append(np.full(rings, ao))
        tubes.materials.append(material)
        tubes.lengths.append(lengths or (rings,))

    def pair(
        self,
        centres: FloatArray,
        extents: FloatArray,
        blend: Blend,
        material: int,
        *,
        axes: tuple[Any, Any] = DOWN,
        mirrored_axes: tuple[Any, Any] | None = None,
        lengths: tuple[int, ...] | None = None,
        **options: Any,
    ) -> None:
        """Add a tube of the left side and its mirror image; options are those of tube()."""
        rings = len(centres)
        both = np.concatenate([centres, centres * np.array([-1.0, 1.0, 1.0])])
        bones = Blend(
            np.concatenate([blend.bone_a, _MIRROR[blend.bone_a]]),
            np.concatenate([blend.bone_b, _MIRROR[blend.bone_b]]),
            np.concatenate([blend.weight, blend.weight]),
        )
        turned = np.empty((2 * rings, 2, 3))
        turned[:rings], turned[rings:] = axes, mirrored_axes or axes
        if options.get("v_texels") is not None:
            options["v_texels"] = np.concatenate([options["v_texels"]] * 2)
        self.tube(
            both, np.concatenate([extents, extents]), bones, material, axes=turned, lengths=(lengths or
            (rings,)) * 2, **options,
        )  # fmt: skip

    def build(self) -> TubeMesh:
        """Freeze the tubes into a mesh that can be posed."""
        return TubeMesh([self._freeze(s, tubes) for s, tubes in sorted(self._tubes.items())])

    def _freeze(self, segments: int, tubes: _Tubes) -> _Rings:
        columns = segments + 1
        lengths = tuple(length for cut in tubes.lengths for length in cut)
        rings = [len(c) for c in tubes.centres]
        previous, following = _neighbours(lengths)
        triangles, ring_of = _tube_triangles(lengths, columns)
        cosine, sine, _ = _circle(segments)
        centres = np.concatenate(tubes.centres) * self._scale
        extents = np.concatenate(tubes.extents) * self._scale
        outline = np.concatenate(tubes.outlines)
        bone_a = np.concatenate([b.bone_a for b in tubes.blends])
        bone_b = np.concatenate([b.bone_b for b in tubes.blends])
        weight = np.concatenate([b.weight for b in tubes.blends])
        offsets = np.zeros((len(centres), columns, 3))
        offsets[..., 0] = extents[:, 0:1] * cosine * outline
        offsets[..., 2] = np.where(sine >= 0, extents[:, 1:2], extents[:, 2:3]) * sine * outline
        first = 0
        for length, axial in zip(rings, tubes.axial, strict=True):
            if axial is not None:
                offsets[first : first + length, :, 1] = axial * self._scale
            first += length
        flat = np.concatenate(tubes.axes)
        axes = np.empty((len(centres), 3, 3))
        axes[:, 0], axes[:, 2] = flat[:, 0], flat[:, 1]
        axes[:, 1] = cross(flat[:, 1], flat[:, 0])
        return _Rings(
            bone_a=bone_a,
            bone_b=bone_b,
            weight=weight[:, None],
            local_a=centres - self._rest[bone_a],
            local_b=centres - self._rest[bone_b],
            axes=axes,
            offsets=offsets,
            previous=previous,
            following=following,
            uv=np.concatenate(tubes.uv).reshape(-1, 2),
            ao=np.repeat(np.concatenate(tubes.ao), columns),
            triangles=triangles,
            materials=np.repeat(np.array(tubes.materials), rings)[ring_of],
            parts=np.where(weight < 0.5, bone_a, bone_b)[ring_of],
        )


@dataclass(frozen=True, slots=True)
class _Rings:
    bone_a: IntArray
    bone_b: IntArray
    weight: FloatArray
    local_a: FloatArray
    local_b: FloatArray
    axes: FloatArray
    offsets: FloatArray
    previous: IntArray
    following: IntArray
    uv: FloatArray
    ao: FloatArray
    triangles: IntArray
    materials: IntArray
    parts: IntArray

    def pose(self, posture: Posture) -> tuple[FloatArray, FloatArray]:
        rot_a, rot_b = posture.rotations[self.bone_a], posture.rotations[self.bone_b]
        w = self.weight
        centre = (posture.origins[self.bone_a] + rotate(rot_a, self.local_a)) * (1 - w)
        centre = centre + (posture.origins[self.bone_b] + rotate(rot_b, self.local_b)) * w
        mixed = rot_a * (1 - w[..., None]) + rot_b * w[..., None]
        axes = normalised(rotate(mixed[:, None], self.axes))
        o = self.offsets
        points = (
            centre[:, None]
            + axes[:, None, 0] * o[..., 0:1]
            + axes[:, None, 1] * o[..., 1:2]
            + axes[:, None, 2] * o[..., 2:3]
        )
        along = points[self.following] - points[self.previous]
        return points.reshape(-1, 3), normalised(_grid_normals(points, along)).reshape(-1, 3)


def _grid_normals(points: FloatArray, along: FloatArray) -> FloatArray:
    around = np.empty_like(points)
    around[:, 1:-1] = points[:, 2:] - points[:, :-2]
    around[:, 0] = around[:, -1] = points[:, 1] - points[:, -2]
    return cross(around, along)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Cloth around both legs: a grid of rest vertices (R, C, 3), each carried by pelvis and thighs."""

    rest: FloatArray  # (R, C, 3)
    bones: tuple[int, int, int]
    weights: FloatArray  # (R, C, 3)
    uv: FloatArray
    ao: FloatArray  # (R, C)
    material: int

    def pose(self, posture: Posture, rest_origins: FloatArray) -> tuple[FloatArray, FloatArray]:
        points = np.zeros_like(self.rest)
        for slot, bone in enumerate(self.bones):
            carried = posture.origins[bone] + rotate(
                posture.rotations[bone][None, None], self.rest - rest_origins[bone]
            )
            points = points + carried * self.weights[..., slot : slot + 1]
        rows = np.arange(len(points))
        along = points[np.minimum(rows + 1, len(points) - 1)] - points[np.maximum(rows - 1, 0)]
        return points.reshape(-1, 3), normalised(_grid_normals(points, along)).reshape(-1, 3)


class TubeMesh:
    """The tubes and sheets of a figure, ready to be posed."""

    def __init__(self, rings: list[_Rings]) -> None:
        self._rings = rings
        self._sheets: list[Sheet] = []
        self._rest: FloatArray | None = None
        self._static: tuple[FloatArray, FloatArray, IntArray, IntArray, IntArray, IntArray] | None = None

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
        uv, ao, triangles, materials, parts, vertex_materials = self._static or self._freeze()
        return Mesh(
            vertices=np.concatenate([points for points, _ in posed]),
            normals=np.concatenate([normals for _, normals in posed]),
            uv=uv,
            ao=ao,
            triangles=triangles,
            materials=materials,
            parts=parts,
            vertex_materials=vertex_materials,
        )

    def _freeze(self) -> tuple[FloatArray, FloatArray, IntArray, IntArray, IntArray, IntArray]:
        uv, ao, triangles, materials, parts = [], [], [], [], []
        first = 0
        for rings in self._rings:
            uv.append(rings.uv)
            ao.append(rings.ao)
            triangles.append(rings.triangles + first)
            materials.append(rings.materials)
            parts.append(rings.parts)
            first += len(rings.uv)
        for sheet in self._sheets:
            rows, columns = sheet.rest.shape[:2]
            grid = _grid_triangles(rows, columns)
            uv.append(sheet.uv.reshape(-1, 2))
            ao.append(sheet.ao.reshape(-1))
            triangles.append(grid + first)
            materials.append(np.full(len(grid), sheet.material))
            parts.append(np.full(len(grid), sheet.bones[0]))
            first += rows * columns
        corners, surfaces = np.concatenate(triangles), np.concatenate(materials)
        vertex_materials = np.zeros(first, dtype=np.int64)
        vertex_materials[corners] = surfaces[:, None]
        joined = (
            np.concatenate(uv).astype(np.float32),
            np.concatenate(ao).astype(np.float32),
            corners,
            surfaces,
            np.concatenate(parts),
            vertex_materials,
        )
        self._static = joined
        return joined
