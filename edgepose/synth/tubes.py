"""Building figures of tubes in their rest pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from edgepose.synth.body import BONE, BONES
from edgepose.synth.mesh import IntArray, Rings, TubeMesh, grid_triangles, ring_neighbours
from edgepose.synth.numeric import PI, FloatArray, cross, sin_cos_array, smoothstep

# Ring axes (x, z) for tubes whose rings run down the body, along the foot, and along either shoulder.
Axes = tuple[tuple[float, float, float], tuple[float, float, float]]
DOWN: Axes = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
FORWARD: Axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
LEFT: Axes = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
RIGHT: Axes = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0))

_MIRROR_X = np.array([-1.0, 1.0, 1.0])
_MIRROR = np.array(
    [BONE[f"{name[:-2]}_r"] if name.endswith("_l") else index for index, name in enumerate(BONES)]
)


@dataclass(frozen=True, slots=True)
class Blend:
    """Which bones carry the rings: bone_a with weight 1 - weight, bone_b with weight."""

    bone_a: IntArray
    bone_b: IntArray
    weight: FloatArray


def chain(y: FloatArray, bones: Sequence[int], joints_y: Sequence[float], half_width: float) -> Blend:
    """Assign rings at descending heights y to a chain of bones that meet at joints_y (descending)."""
    joints = list(zip(joints_y, bones[:-1], bones[1:], strict=True))
    bone_a, bone_b, weights = [], [], []
    for height in y.tolist():  # so few that plain numbers are faster than arrays
        above = below = bones[0]
        weight = 0.0
        for joint_y, _, bone in joints:
            if height < joint_y:
                above = below = bone
        for joint_y, upper, lower in joints:
            if abs(height - joint_y) < half_width:
                above, below = upper, lower
                weight = smoothstep(-half_width, half_width, joint_y - height)
        bone_a.append(above)
        bone_b.append(below)
        weights.append(weight)
    return Blend(np.array(bone_a), np.array(bone_b), np.array(weights))


def on(bone: int, count: int) -> Blend:
    """Hang all rings on one bone."""
    bones = np.full(count, bone)
    return Blend(bones, bones, np.zeros(count))


@lru_cache(maxsize=32)
def _circle(segments: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return cos, sin and u of a ring's vertices; u is 0 and 1 at the back and 0.25 on the left."""
    u = np.arange(segments + 1) / segments
    angles = (u - 0.25) * (2 * PI)
    sine, cosine = sin_cos_array(angles)
    return cosine, sine, u


@lru_cache(maxsize=32)
def _corners(segments: int) -> FloatArray:
    """Return by how much a square of a ring's extents is further out than the ring, as a share."""
    cosine, sine, _ = _circle(segments)
    return 1.0 / np.maximum(np.abs(cosine), np.abs(sine)) - 1.0


@lru_cache(maxsize=32)
def _frame(axes: Axes) -> FloatArray:
    """Return the axes x, y and z of a ring, (3, 3, 1): component, axis."""
    x, z = np.array(axes)
    return np.stack([x, cross(z, x), z], axis=1)[..., None]


@dataclass(frozen=True, slots=True)
class _Tube:
    """What MeshBuilder.tube is told; a tube with mirrored_axes is followed by its mirror image."""

    centres: FloatArray
    extents: FloatArray
    blend: Blend
    material: int
    axes: Axes
    mirrored_axes: Axes | None
    square: float | FloatArray
    outline: FloatArray | None
    axial: FloatArray | None
    repeat_u: int
    v_texels: FloatArray | None
    ao: float
    lengths: tuple[int, ...]


class MeshBuilder:
    """Collect the tubes of a figure in its rest pose."""

    def __init__(self, rest_origins: FloatArray, scale: float) -> None:
        self._rest = rest_origins
        self._scale = scale
        self._tubes: dict[int, list[_Tube]] = {}

    def tube(
        self,
        centres: FloatArray,
        extents: FloatArray,
        blend: Blend,
        material: int,
        *,
        segments: int = 12,
        axes: Axes = DOWN,
        mirrored_axes: Axes | None = None,
        square: float | FloatArray = 0.0,
        outline: FloatArray | None = None,
        axial: FloatArray | None = None,
        repeat_u: int = 1,
        v_texels: FloatArray | None = None,
        ao: float = 1.0,
        lengths: tuple[int, ...] | None = None,
    ) -> None:
        """Add a tube of R rings.

        centres (R, 3) and extents (R, 3: half width, front and back depth; R, 1: all three) are in metres of
        the 1.75 m body.
        square rounds (0) or squares (1) the rings, outline (R, S + 1) multiplies their radius, and axial (R,
        S + 1) shifts vertices against the tube's direction. v_texels default to 128 texels per 0.32 m.
        lengths cut the rings into several tubes.
        """
        self._tubes.setdefault(segments, []).append(
            _Tube(
                centres, extents, blend, material, axes, mirrored_axes, square, outline, axial, repeat_u,
                v_texels, ao, lengths or (len(centres),),
            )
        )  # fmt: skip

    def pair(
        self,
        centres: FloatArray,
        extents: FloatArray,
        blend: Blend,
        material: int,
        *,
        axes: Axes = DOWN,
        mirrored_axes: Axes | None = None,
        **options: Any,
    ) -> None:
        """Add a tube of the left side and its mirror image; options are those of tube()."""
        self.tube(
            centres, extents, blend, material, axes=axes, mirrored_axes=mirrored_axes or axes, **options
        )

    def build(self) -> TubeMesh:
        """Freeze the tubes into a mesh that can be posed."""
        return TubeMesh([self._freeze(s, tubes) for s, tubes in sorted(self._tubes.items())])

    def _freeze(self, segments: int, tubes: list[_Tube]) -> Rings:
        sides = [2 if tube.mirrored_axes else 1 for tube in tubes]
        rings = [len(tube.centres) * count for tube, count in zip(tubes, sides, strict=True)]
        total, columns = sum(rings), segments + 1
        lengths = tuple(n for tube, count in zip(tubes, sides, strict=True) for n in tube.lengths * count)
        centres, extents, axes = np.empty((total, 3)), np.empty((total, 3)), np.empty((3, 3, total))
        bone_a, bone_b = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
        weight, square, v = np.empty(total), np.empty(total), np.zeros(total)
        first = 0
        for tube, count in zip(tubes, sides, strict=True):
            for mirrored in range(count):
                part = slice(first, first + len(tube.centres))
                first = part.stop
                blend = tube.blend
                centres[part] = tube.centres * _MIRROR_X if mirrored else tube.centres
                bone_a[part] = _MIRROR[blend.bone_a] if mirrored else blend.bone_a
                bone_b[part] = _MIRROR[blend.bone_b] if mirrored else blend.bone_b
                extents[part], weight[part], square[part] = tube.extents, blend.weight, tube.square
                axes[..., part] = _frame(tube.mirrored_axes if mirrored and tube.mirrored_axes else tube.axes)
                if tube.v_texels is not None:
                    v[part] = tube.v_texels
        step = centres[1:] - centres[:-1]
        step = np.sqrt(step[:, 0] * step[:, 0] + step[:, 1] * step[:, 1] + step[:, 2] * step[:, 2]) * 400.0
        shape = 1.0 + square[:, None] * _corners(segments)
        axial = np.zeros((total, columns))
        first = 0
        for tube, count in zip(tubes, rings, strict=True):
            part = slice(first, first + count)
            if tube.v_texels is None:
                np.cumsum(step[first : part.stop - 1], out=v[first + 1 : part.stop])
            if tube.outline is not None:
                shape[part] *= tube.outline
            if tube.axial is not None:
                axial[part] = tube.axial * self._scale
            first = part.stop
        centres *= self._scale
        extents *= self._scale
        cosine, sine, u = _circle(segments)
        depth = np.where(sine >= 0, extents[:, 1:2], extents[:, 2:3])
        repeat_u = np.repeat(np.array([128.0 * tube.repeat_u for tube in tubes]), rings)
        previous, following = ring_neighbours(lengths)
        triangles, ring_of = grid_triangles(lengths, columns)
        material = np.repeat(np.array([tube.material for tube in tubes]), rings)
        return Rings(
            bone_a=bone_a,
            bone_b=bone_b,
            weight=weight,
            local_a=(centres - self._rest[bone_a]).T.copy(),
            local_b=(centres - self._rest[bone_b]).T.copy(),
            axes=axes,
            offsets=np.stack([extents[:, 0:1] * cosine * shape, axial, depth * sine * shape]),
            previous=previous,
            following=following,
            uv=np.stack([u * repeat_u[:, None], np.repeat(v, columns).reshape(total, columns)]),
            ao=np.repeat(np.array([tube.ao for tube in tubes]), rings),
            triangles=triangles,
            ring_of=ring_of,
            materials=material,
            parts=np.where(weight < 0.5, bone_a, bone_b),
        )
