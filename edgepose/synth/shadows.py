"""Shadows on the ground: what bodies and things throw there, and the dark where they touch it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.background import Background
from edgepose.synth.camera import NEAREST_M, Camera
from edgepose.synth.lanes import doubled_columns, doubled_rows
from edgepose.synth.numeric import FloatArray
from edgepose.synth.props import Prop
from edgepose.synth.raster import cover
from edgepose.synth.shading import Light

_STEP = 4  # pixels to a cell of the shadow map


def light_left(
    background: Background, bodies: list[FloatArray], props: Prop | None, camera: Camera, light: Light
) -> NDArray[np.uint16] | None:
    """Return how much light (h, w) is left on the ground, in 1/256; None where there are no shadows.

    Bodies and props keep the key light off, and it is dark close under them.
    """
    if not background.ground.any() or (not bodies and props is None):
        return None
    small = (-(-camera.size_hw[0] // _STEP), -(-camera.size_hw[1] // _STEP))
    thrown = np.zeros(small, dtype=np.uint8)
    under = np.zeros(small, dtype=np.uint8)
    slant = light.direction / light.direction[1]
    if bodies:
        vertices = np.concatenate([body[::2] for body in bodies])  # the blur closes the gaps
        _dot(thrown, vertices - np.maximum(vertices[:, 1:2], 0.0) * slant, camera)
        low = vertices[vertices[:, 1] < 0.3]
        _dot(under, low * np.array([1.0, 0.0, 1.0]), camera)
    if props is not None:
        flat = props.vertices - np.maximum(props.vertices[:, 1:2], 0.0) * slant
        xy, depth = camera.project(flat)
        corner_depth = depth[props.triangles]
        seen = np.minimum(np.minimum(corner_depth[:, 0], corner_depth[:, 1]), corner_depth[:, 2]) > NEAREST_M
        thrown |= cover((xy[props.triangles[seen]] - (_STEP - 1) / 2) / _STEP, *small)
        _dot(under, props.vertices[props.vertices[:, 1] < 0.05], camera)
    blur = 1 + int(light.softness * 3 + 0.5)
    # Bodies are dotted: the gain makes up for the gaps between the dots.
    dark = np.minimum(_blurred(thrown, blur) * np.float32(1.8), np.float32(1)) * np.float32(
        0.62 - 0.42 * light.softness
    )
    contact = np.minimum(_blurred(under, 2) * np.float32(2.0), np.float32(1)) * np.float32(0.42)
    left = ((1 - dark) * (1 - contact) * np.float32(256)).astype(np.uint16)
    height, width = background.ground.shape
    full: NDArray[np.uint16] = doubled_rows(doubled_columns(left))[:height, :width] >> np.uint16(4)
    full[~background.ground] = 256
    return full


def _dot(mask: NDArray[np.uint8], points: FloatArray, camera: Camera) -> None:
    """Set the cells of a mask on which world points fall."""
    xy, depth = camera.project(points)
    cells = np.floor((xy + 0.5) / _STEP)
    height, width = mask.shape
    x, y = cells[:, 0], cells[:, 1]
    seen = (depth > NEAREST_M) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    mask[y[seen].astype(np.int64), x[seen].astype(np.int64)] = 1


def _blurred(mask: NDArray[np.uint8], radius: int) -> FloatArray:
    """Blur a mask with two passes of a box of up to 9 cells, in integers; the result is 0..1 float32."""
    total = mask.astype(np.uint16)
    side = 2 * radius + 1
    for _ in range(2):
        for axis in (0, 1):
            count = total.shape[axis]
            cells = np.minimum(np.maximum(np.arange(-radius, count + radius), 0), count - 1)
            padded = total.take(cells, axis=axis).swapaxes(0, axis)
            total = padded[:count] + padded[1 : count + 1]
            for k in range(2, side):
                total += padded[k : k + count]
            total = total.swapaxes(0, axis)
    out: FloatArray = total.astype(np.float32) * np.float32(1.0 / float(side**4))
    return out
