"""From figures and props to pixels: projection, shadows, shading and soft edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.background import Background
from edgepose.synth.body import Posture
from edgepose.synth.camera import Camera
from edgepose.synth.figure import Figure
from edgepose.synth.lanes import LANE_BYTES, Lanes, in_lanes, joined, pixels_of
from edgepose.synth.numeric import FloatArray
from edgepose.synth.props import Prop, join
from edgepose.synth.raster import Fragments, plane, rasterise
from edgepose.synth.shading import Light, body_spheres
from edgepose.synth.shadows import light_left
from edgepose.synth.surfaces import NO_OWNER, IntArray, Looks, actor_solid, facing, numbered, prop_solid
from edgepose.synth.textures import SIDE, Textures, grain_texels

_CHUNK = 32768


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
    if len(actors) >= NO_OWNER:
        raise ValueError(f"{len(actors)} persons are more than {NO_OWNER - 1}")
    _keep_memory()
    meshes = [actor.figure.mesh.pose(actor.posture) for actor in actors]
    left = light_left(background, [mesh.vertices for mesh in meshes], join(props), camera, light)
    image = background.enlarged(camera.size_hw, left)
    owners = np.full(image.shape, NO_OWNER, dtype=np.uint8)
    bones = np.full(image.shape, 255, dtype=np.uint8)
    inverse_depth = np.zeros(image.shape, dtype=np.float32)
    texels, first_texel, solids = [grain_texels()], len(grain_texels()), []
    for number, (actor, mesh) in enumerate(zip(actors, meshes, strict=True)):
        spheres = body_spheres(actor.figure.skeleton, actor.posture)
        solids.append(actor_solid(mesh, actor.textures, spheres, light, number, first_texel))
        texels += [texture.reshape(-1) for texture in actor.textures.texels]
        first_texel += sum(texture.size for texture in actor.textures.texels)
    things = join([*props, *(item for actor in actors for item in actor.carried)])
    if things is not None:
        solids.append(prop_solid(things, light))
    if solids:
        front = facing(solids, camera)
        fragments = rasterise(front.xy.transpose(2, 0, 1), front.inverse_depth.T, *image.shape)
        visible, triangles = numbered(fragments.triangles, len(front.triangles))
        looks = front.looks(visible)
        _colour(image, fragments, triangles, front.xy.take(visible, axis=2), looks, np.concatenate(texels))
        owners.reshape(-1)[fragments.pixels] = looks.owners.take(triangles)
        bones.reshape(-1)[fragments.pixels] = looks.bones.take(triangles)
        inverse_depth.reshape(-1)[fragments.pixels] = fragments.inverse_depth
        _soften_edges(image, inverse_depth)
    return Rendering(pixels_of(image), owners, bones, inverse_depth)


def _colour(
    image: Lanes, fragments: Fragments, triangles: IntArray, xy: FloatArray, looks: Looks, texels: FloatArray
) -> None:
    """Write the colour of every fragment into the image (H, W).

    triangles (N,) are indices, for every fragment, of the corners xy (3, 2, T) and the looks.
    """
    parts = plane(xy.transpose(2, 0, 1), looks.values.astype(np.float64).transpose(2, 1, 0))
    # Of 5 quantities d/dx, d/dy and the value at (0, 0).
    coefficients = np.stack([part.T for part in parts]).astype(np.float32)
    out = image.reshape(-1)
    # In chunks that stay in the cache.
    for start in range(0, len(triangles), _CHUNK):
        part = slice(start, start + _CHUNK)
        triangle = triangles[part]
        x, y = fragments.x[part].astype(np.float32), fragments.y[part].astype(np.float32)
        u, v, *light = (_interpolated(coefficients[:, k], triangle, x, y) for k in range(5))
        shift = looks.shift.take(triangle)
        texel = looks.first.take(triangle)
        texel += (v.astype(np.int64) & (SIDE - 1)) << shift
        texel += u.astype(np.int64) & ((1 << shift) - 1)
        planes = looks.planes.take(triangle)
        channels = []
        for colour in light:
            colour *= texels.take(texel)
            texel += planes
            np.maximum(colour, np.float32(0), out=colour)
            np.minimum(colour, np.float32(65025), out=colour)
            channels.append(np.sqrt(colour, out=colour).astype(np.uint8))
        out[fragments.pixels[part]] = joined(*channels)


def _interpolated(coefficients: FloatArray, triangle: IntArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return a quantity at pixels (N,) float32; coefficients (3, T) are those of plane()."""
    value: FloatArray = coefficients[0].take(triangle)
    value *= x
    by_y = coefficients[1].take(triangle)
    by_y *= y
    value += by_y
    value += coefficients[2].take(triangle)
    return value


def _soften_edges(image: Lanes, inverse_depth: FloatArray) -> None:
    """Smooth outlines as optics do: a binomial 3 x 3 on the pixels beside a step in depth."""
    height, width = image.shape
    # A row of background above and below; rows wrap, which softens a border pixel.
    padded = np.zeros((height + 2) * width, dtype=np.float32)
    padded[width:-width] = inverse_depth.reshape(-1)
    edge = np.zeros(len(padded), dtype=np.bool_)
    for step in (1, width):
        for start in range(0, len(padded) - step, _CHUNK):
            part = slice(start, min(start + _CHUNK, len(padded) - step))
            beside = slice(part.start + step, part.stop + step)
            difference, limit = padded[part] - padded[beside], np.maximum(padded[part], padded[beside])
            limit *= np.float32(0.02)
            stepped = np.abs(difference, out=difference) > limit
            edge[part] |= stepped
            edge[beside] |= stepped
    pixels = np.flatnonzero(edge[width:-width])
    y, x = np.divmod(pixels, width)
    rows = [np.maximum(y - 1, 0) * width, y * width, np.minimum(y + 1, height - 1) * width]
    columns = [np.maximum(x - 1, 0), x, np.minimum(x + 1, width - 1)]
    total = np.zeros(len(pixels), dtype=np.uint64)
    for row, down in zip(rows, (1, 2, 1), strict=True):
        for column, across in zip(columns, (1, 2, 1), strict=True):
            beside = image.take(row + column)
            beside &= LANE_BYTES
            beside *= np.uint64(down * across)
            total += beside
    total += in_lanes(8)
    total >>= np.uint64(4)
    total &= LANE_BYTES
    image.reshape(-1)[pixels] = total
