"""From figures and props to pixels: projection, shadows, shading and soft edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.background import Background
from edgepose.synth.body import Posture
from edgepose.synth.camera import NEAREST_M, Camera
from edgepose.synth.figure import Figure
from edgepose.synth.mesh import Mesh
from edgepose.synth.numeric import FloatArray
from edgepose.synth.props import Prop, join
from edgepose.synth.raster import Fragments, plane, rasterise
from edgepose.synth.shading import Light, body_spheres, hemisphere, light_vertices
from edgepose.synth.shadows import with_shadows
from edgepose.synth.textures import SIDE, Textures, grain_texels

_NO_OWNER = 255
_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class PosedActor:
    """A figure in its posture, in the world, with its textures and what it carries."""

    figure: Figure
    textures: Textures
    posture: Posture
    carried: tuple[Prop, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendering:
    """The picture (H, W, 3) uint8 B, G, R before the camera's faults, and what each pixel shows.

    owners (H, W) uint8: number of the actor, 255 where none; bones (H, W) uint8: the bone that carries the
    surface; inverse_depth (H, W): 1/m, 0 on the background.
    """

    image: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    bones: NDArray[np.uint8]
    inverse_depth: FloatArray


class _Soup:
    """The triangles of a scene that face the camera."""

    def __init__(self, camera: Camera) -> None:
        grains = grain_texels()
        self._camera = camera
        self.corners: list[FloatArray] = []  # pixels, (T, 3, 2)
        self.inverse_depth: list[FloatArray] = []
        self.values: list[FloatArray] = []  # (T, 3, 5)
        self.owners: list[NDArray[np.uint8]] = []
        self.bones: list[NDArray[np.uint8]] = []
        self.first: list[NDArray[Any]] = []  # texel at (0, 0) of the triangle's texture
        self.shift: list[NDArray[Any]] = []  # log2 of its width
        self.texels: list[FloatArray] = [grains]
        self._texel_count = len(grains)

    def add_actor(self, actor: PosedActor, number: int, mesh: Mesh, light: Light) -> None:
        triangles, used = self._facing(mesh.vertices, mesh.triangles)
        textures = actor.textures
        if len(triangles) == 0:
            return
        spheres = body_spheres(actor.figure.skeleton, actor.posture)
        normals = mesh.normals[used]
        key, ambient = light_vertices(mesh.vertices[used], normals, mesh.ao[used], spheres, light)
        values = np.zeros((len(mesh.vertices), 5))
        tints = textures.tints[mesh.vertex_materials[used]]
        values[used] = _values(mesh.uv[used], normals, key, ambient, light, tints)
        self.values.append(values[mesh.triangles[triangles]])
        self.owners.append(np.full(len(triangles), number, dtype=np.uint8))
        self.bones.append(mesh.parts[triangles].astype(np.uint8))
        materials = mesh.materials[triangles]
        first = np.where(textures.shared, textures.first, textures.first + self._texel_count)
        self.first.append(first[materials])
        self.shift.append(textures.shift[materials])
        self.texels.append(textures.texels)
        self._texel_count += len(textures.texels)

    def add_props(self, props: Prop, light: Light) -> None:
        triangles, _ = self._facing(props.vertices, props.triangles)
        n, d = props.normals, light.direction
        key = np.maximum(n[:, 0] * d[0] + n[:, 1] * d[1] + n[:, 2] * d[2], 0.0)
        ambient = np.maximum(0.65 + 0.35 * np.minimum(props.vertices[:, 1] * 2.0, 1.0), 0.4)
        values = _values(props.uv, n, key, ambient, light, props.colours).astype(np.float64)
        chosen = props.triangles[triangles]
        self.values.append(values[chosen])
        self.owners.append(np.full(len(triangles), _NO_OWNER, dtype=np.uint8))
        self.bones.append(np.full(len(triangles), 255, dtype=np.uint8))
        self.first.append(props.grains[chosen[:, 0]] * (SIDE * SIDE))
        self.shift.append(np.full(len(triangles), 7, dtype=np.int64))

    def _facing(self, vertices: FloatArray, triangles: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Keep the triangles in view that face the camera; return their and their vertices' indices."""
        height, width = self._camera.size_hw
        xy, depth = self._camera.project(vertices)
        x, y, corner_depth = xy[:, 0][triangles], xy[:, 1][triangles], depth[triangles]
        x0, x1, x2 = x[:, 0], x[:, 1], x[:, 2]
        y0, y1, y2 = y[:, 0], y[:, 1], y[:, 2]
        kept = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) < 0
        kept &= np.minimum(np.minimum(corner_depth[:, 0], corner_depth[:, 1]), corner_depth[:, 2]) > NEAREST_M
        kept &= np.maximum(np.maximum(x0, x1), x2) >= 0
        kept &= np.minimum(np.minimum(x0, x1), x2) <= width - 1
        kept &= np.maximum(np.maximum(y0, y1), y2) >= 0
        kept &= np.minimum(np.minimum(y0, y1), y2) <= height - 1
        chosen = np.flatnonzero(kept)
        used = np.zeros(len(vertices), dtype=np.bool_)
        used[triangles[chosen]] = True
        self.corners.append(np.stack([x[chosen], y[chosen]], axis=-1))
        self.inverse_depth.append(1.0 / corner_depth[chosen])
        return chosen, np.flatnonzero(used)


@lru_cache(maxsize=1)
def _keep_memory() -> None:
    """Make glibc keep freed memory for the next picture: giving it back costs a third of the time.

    Freeing a block that was mapped by itself raises the thresholds for mapping and for trimming to its size
    and to twice that (mallopt(3), M_MMAP_THRESHOLD); the block is never touched. Other allocators take no
    notice.
    """
    np.empty(31 << 20, dtype=np.uint8)


def render(
    actors: list[PosedActor], props: list[Prop], camera: Camera, light: Light, background: Background
) -> Rendering:
    """Render actors and props in front of a background; actors beyond 255 are refused."""
    if len(actors) >= _NO_OWNER:
        raise ValueError(f"{len(actors)} persons are more than {_NO_OWNER - 1}")
    _keep_memory()
    height, width = camera.size_hw
    soup = _Soup(camera)
    meshes = [actor.figure.mesh.pose(actor.posture) for actor in actors]
    for number, (actor, mesh) in enumerate(zip(actors, meshes, strict=True)):
        soup.add_actor(actor, number, mesh, light)
    standing = join(props)
    things = join([*props, *(item for actor in actors for item in actor.carried)])
    if things is not None:
        soup.add_props(things, light)
    behind = with_shadows(background, [mesh.vertices for mesh in meshes], standing, camera, light)
    rendering = Rendering(
        behind.enlarged(camera.size_hw),
        np.full((height, width), _NO_OWNER, dtype=np.uint8),
        np.full((height, width), 255, dtype=np.uint8),
        np.zeros((height, width), dtype=np.float32),
    )
    if any(len(corners) for corners in soup.corners):
        _shade(soup, rendering)
    return rendering


def _values(
    uv: FloatArray, normals: FloatArray, key: FloatArray, ambient: FloatArray, light: Light, tints: FloatArray
) -> FloatArray:
    """Return what is interpolated, (V, 5): u, v and the light off a white texel (B, G, R; 65025 is white)."""
    sky = hemisphere(normals)
    out = np.empty((len(uv), 5), dtype=np.float32)
    out[:, :2] = uv
    received = key.astype(np.float32)[:, None] * light.key.astype(np.float32)
    received += (ambient * sky).astype(np.float32)[:, None] * light.sky.astype(np.float32)
    received += (ambient * (1 - sky)).astype(np.float32)[:, None] * light.ground.astype(np.float32)
    out[:, 2:] = received * tints * np.float32(65025)
    return out


def _shade(soup: _Soup, rendering: Rendering) -> None:
    """Draw all triangles into the rendering."""
    height, width = rendering.owners.shape
    corners = np.concatenate(soup.corners)
    fragments = rasterise(corners, np.concatenate(soup.inverse_depth), height, width)
    _colour_fragments(soup, fragments, corners, rendering.image.reshape(-1, 3))
    rendering.owners.reshape(-1)[fragments.pixels] = np.concatenate(soup.owners).take(fragments.triangles)
    rendering.bones.reshape(-1)[fragments.pixels] = np.concatenate(soup.bones).take(fragments.triangles)
    rendering.inverse_depth.reshape(-1)[fragments.pixels] = fragments.inverse_depth
    if len(fragments.pixels):
        _soften_edges(rendering, fragments)


def _colour_fragments(soup: _Soup, fragments: Fragments, corners: FloatArray, out: NDArray[np.uint8]) -> None:
    """Write the colour of every fragment into out (H * W, 3)."""
    values = np.concatenate(soup.values)
    # One row per coefficient: 5 quantities times d/dx, d/dy and the value at (0, 0).
    table = np.concatenate(plane(corners, values), axis=1).astype(np.float32).T.copy()
    first, shift = np.concatenate(soup.first), np.concatenate(soup.shift)
    texels = np.concatenate(soup.texels)
    low, white = np.float32(0), np.float32(65025)
    # In chunks that stay in the cache.
    for start in range(0, len(fragments.pixels), _CHUNK):
        part = slice(start, start + _CHUNK)
        triangle = fragments.triangles[part]
        x, y = fragments.x[part].astype(np.float32), fragments.y[part].astype(np.float32)
        v = []
        for k in range(5):
            value = table[k].take(triangle)
            value *= x
            by_y = table[k + 5].take(triangle)
            by_y *= y
            value += by_y
            value += table[k + 10].take(triangle)
            v.append(value)
        width = shift.take(triangle)
        column = v[0].astype(np.int64) & ((1 << width) - 1)
        texel = first.take(triangle) + ((v[1].astype(np.int64) & (SIDE - 1)) << width) + column
        albedo = texels.take(texel, axis=0)
        pixels = np.empty((len(triangle), 3), dtype=np.uint8)
        for channel in range(3):
            colour = v[2 + channel]
            colour *= albedo[:, channel]
            np.maximum(colour, low, out=colour)
            np.minimum(colour, white, out=colour)
            pixels[:, channel] = np.sqrt(colour, out=colour)
        out[fragments.pixels[part]] = pixels


def _soften_edges(rendering: Rendering, fragments: Fragments) -> None:
    """Smooth outlines as optics do: a binomial 3 x 3 on the pixels beside a step in depth."""
    height, width = rendering.owners.shape
    at, own = fragments.pixels + width, fragments.inverse_depth.astype(np.float32)
    # A row of background above and below makes every neighbour's index valid; rows wrap, which softens a
    # border pixel.
    inverse = np.zeros((height + 2) * width, dtype=np.float32)
    inverse[at] = own
    edge = np.zeros(len(inverse), dtype=np.bool_)
    for step in (1, width):
        after = inverse.take(at + step)
        beside = at[np.abs(own - after) > np.maximum(own, after) * np.float32(0.02)]
        edge[beside] = True
        edge[beside + step] = True
        beside = at[inverse.take(at - step) == 0]
        edge[beside] = True
        edge[beside - step] = True
    y, x = np.divmod(np.flatnonzero(edge[width:-width]), width)
    flat = rendering.image.reshape(-1, 3)
    total = np.zeros((len(y), 3), dtype=np.uint16)
    for dy, wy in ((-1, 1), (0, 2), (1, 1)):
        row = np.minimum(np.maximum(y + dy, 0), height - 1) * width
        for dx, wx in ((-1, 1), (0, 2), (1, 1)):
            beside = flat[row + np.minimum(np.maximum(x + dx, 0), width - 1)]
            total += beside.astype(np.uint16) * np.uint16(wy * wx)
    flat[y * width + x] = ((total + 8) >> 4).astype(np.uint8)
