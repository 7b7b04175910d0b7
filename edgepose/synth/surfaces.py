"""The solids of a picture: which of their triangles face the camera, and how the visible ones look.

Light is worked out after the rasteriser, for what is seen: more than half of the triangles are not. Arrays
have their components first, (3, N), so that NumPy's innermost loop runs over N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.camera import NEAREST_M, Camera
from edgepose.synth.mesh import Mesh
from edgepose.synth.numeric import FloatArray
from edgepose.synth.props import Prop
from edgepose.synth.shading import Light, hemisphere, light_vertices
from edgepose.synth.textures import SIDE, Textures

NO_OWNER = 255
IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Looks:
    """How triangles look.

    values (5, 3, T) are interpolated between the three corners: u, v and the light off a white texel (B, G,
    R; 65025 is white). first (T,) is the B of the texel at (0, 0) of a triangle's texture, planes how much
    further on its G lies, and R from there, shift the log2 of the texture's width. owners and bones (T,)
    uint8 are as in Rendering.
    """

    values: FloatArray
    first: IntArray
    planes: IntArray
    shift: IntArray
    bones: NDArray[np.uint8]
    owners: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Solid:
    """An actor, or all props: vertices (V, 3) and triangles (T, 3).

    looks takes the indices (N,) of the triangles to draw and their corners (3, N).
    """

    vertices: FloatArray
    triangles: IntArray
    looks: Callable[[IntArray, IntArray], Looks]


Spheres = tuple[FloatArray, FloatArray]


def actor_solid(
    mesh: Mesh, textures: Textures, spheres: Spheres, light: Light, owner: int, first_texel: int
) -> Solid:
    """Return an actor in its posture: its number, and where its own texels begin.

    spheres stand for the body where light is blocked.
    """
    first = textures.first + np.where(textures.planes > 0, first_texel, 0)

    def looks(triangles: IntArray, corners: IntArray) -> Looks:
        used, corners = numbered(corners, len(mesh.vertices))
        vertices, normals = mesh.vertices.T.take(used, axis=1), mesh.normals.T.take(used, axis=1)
        key, ambient = light_vertices(vertices, normals, mesh.ao.take(used), spheres, light)
        tints = textures.tints.T.take(mesh.vertex_materials.take(used), axis=1)
        values = _values(mesh.uv.T.take(used, axis=1), normals, key, ambient, light, tints)
        materials = mesh.materials.take(triangles)
        return Looks(
            values=values.take(corners, axis=1),
            first=first.take(materials),
            planes=textures.planes.take(materials),
            shift=textures.shift.take(materials),
            bones=mesh.parts.take(triangles).astype(np.uint8),
            owners=np.full(len(triangles), owner, dtype=np.uint8),
        )

    return Solid(mesh.vertices, mesh.triangles, looks)


def prop_solid(props: Prop, light: Light) -> Solid:
    """Return things that nobody owns."""

    def looks(triangles: IntArray, corners: IntArray) -> Looks:
        n, d = props.normals.T, light.direction
        key = np.maximum(n[0] * d[0] + n[1] * d[1] + n[2] * d[2], 0.0)
        ambient = np.maximum(0.65 + 0.35 * np.minimum(props.vertices[:, 1] * 2.0, 1.0), 0.4)
        values = _values(props.uv.T, n, key, ambient, light, props.colours.T)
        count = len(triangles)
        return Looks(
            values=values.take(corners, axis=1),
            first=props.grains.take(corners[0]) * (SIDE * SIDE),
            planes=np.zeros(count, dtype=np.int64),
            shift=np.full(count, 7, dtype=np.int64),
            bones=np.full(count, 255, dtype=np.uint8),
            owners=np.full(count, NO_OWNER, dtype=np.uint8),
        )

    return Solid(props.vertices, props.triangles, looks)


def _values(
    uv: FloatArray, normals: FloatArray, key: FloatArray, ambient: FloatArray, light: Light, tints: FloatArray
) -> FloatArray:
    """Return what is interpolated, (5, V) float32: u, v and the light off a white texel."""
    sky = hemisphere(normals[1])
    out = np.empty((5, uv.shape[1]), dtype=np.float32)
    out[:2] = uv
    received = out[2:]
    received[:] = key.astype(np.float32) * light.key.astype(np.float32)[:, None]
    received += (ambient * sky).astype(np.float32) * light.sky.astype(np.float32)[:, None]
    received += (ambient * (1 - sky)).astype(np.float32) * light.ground.astype(np.float32)[:, None]
    received *= tints
    received *= np.float32(65025)
    return out


def numbered(chosen: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Return which of `count` things are chosen at all, ascending, and the choices as indices of these."""
    number = np.zeros(count, dtype=np.intp)
    number[chosen] = 1
    used = np.flatnonzero(number)
    number[used] = np.arange(len(used))
    return used, number.take(chosen)


@dataclass(frozen=True, slots=True)
class Facing:
    """The triangles of solids that face the camera, solid after solid.

    starts (S + 1,) is where each solid's triangles begin; triangles (T,) and corners (3, T) are indices
    within the solid. xy (3, 2, T) and inverse_depth (3, T) are where the corners are seen, in pixels and 1/m.
    """

    solids: list[Solid]
    starts: IntArray
    triangles: IntArray
    corners: IntArray
    xy: FloatArray
    inverse_depth: FloatArray

    def looks(self, chosen: IntArray) -> Looks:
        """Return the looks of some of the triangles, in ascending order."""
        found = []
        cuts = np.searchsorted(chosen, self.starts).tolist()
        for number, solid in enumerate(self.solids):
            part = chosen[cuts[number] : cuts[number + 1]]
            found.append(solid.looks(self.triangles.take(part), self.corners.take(part, axis=1)))
        return Looks(
            np.concatenate([looks.values for looks in found], axis=2),
            np.concatenate([looks.first for looks in found]),
            np.concatenate([looks.planes for looks in found]),
            np.concatenate([looks.shift for looks in found]),
            np.concatenate([looks.bones for looks in found]),
            np.concatenate([looks.owners for looks in found]),
        )


def facing(solids: list[Solid], camera: Camera) -> Facing:
    """Keep the triangles in view that face the camera; at least one solid."""
    parts = [_facing(solid, camera) for solid in solids]
    triangles, corners, xy, depth = zip(*parts, strict=True)
    return Facing(
        solids,
        np.cumsum([0] + [len(part) for part in triangles]),
        np.concatenate(triangles),
        np.concatenate(corners, axis=1),
        np.concatenate(xy, axis=2),
        1.0 / np.concatenate(depth, axis=1),
    )


def _facing(solid: Solid, camera: Camera) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Return triangles, corners, xy and depth as in Facing."""
    height, width = camera.size_hw
    xy, depth = camera.project(solid.vertices)
    corners = solid.triangles.T
    x, y = xy[:, 0].take(corners), xy[:, 1].take(corners)
    front = np.flatnonzero((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]) < 0)
    x, y, corners = x.take(front, axis=1), y.take(front, axis=1), corners.take(front, axis=1)
    z = depth.take(corners)
    kept = np.minimum(np.minimum(z[0], z[1]), z[2]) > NEAREST_M
    kept &= np.maximum(np.maximum(x[0], x[1]), x[2]) >= 0
    kept &= np.minimum(np.minimum(x[0], x[1]), x[2]) <= width - 1
    kept &= np.maximum(np.maximum(y[0], y[1]), y[2]) >= 0
    kept &= np.minimum(np.minimum(y[0], y[1]), y[2]) <= height - 1
    seen = np.flatnonzero(kept)
    view = np.stack([x.take(seen, axis=1), y.take(seen, axis=1)], axis=1)
    return front[seen], corners.take(seen, axis=1), view, z.take(seen, axis=1)
