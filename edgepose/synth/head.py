"""Head, ears, hair and headgear of a figure."""

from __future__ import annotations

import numpy as np

from edgepose.synth.body import BONE, BodyShape
from edgepose.synth.numeric import FloatArray, clamp, columns, interpolate, smoothstep
from edgepose.synth.outfit import MATERIAL, Outfit
from edgepose.synth.tubes import FORWARD, MeshBuilder, on

HEAD_SEGMENTS = 28
TOP, CHIN = 0.186, -0.046
_CENTRE_Z = 0.006
# Height above the head joint, half width, front depth, back depth, how far the ridge of the nose stands out.
HEAD = np.array([
    [0.186, 0.002, 0.002, 0.002, 0], [0.183, 0.030, 0.036, 0.042, 0], [0.172, 0.054, 0.064, 0.074, 0],
    [0.150, 0.0695, 0.086, 0.094, 0], [0.125, 0.0755, 0.095, 0.1005, 0], [0.100, 0.0765, 0.0985, 0.102, 0],
    [0.082, 0.0755, 0.0985, 0.102, 0.001], [0.070, 0.0745, 0.095, 0.101, 0.004],
    [0.058, 0.0738, 0.0935, 0.100, 0.009], [0.046, 0.073, 0.094, 0.098, 0.014],
    [0.034, 0.072, 0.0955, 0.095, 0.020], [0.026, 0.0705, 0.0965, 0.093, 0.0235],
    [0.017, 0.069, 0.0965, 0.089, 0.014], [0.010, 0.067, 0.0965, 0.086, 0.003],
    [0.000, 0.064, 0.097, 0.080, 0.001], [-0.012, 0.0595, 0.0950, 0.070, 0],
    [-0.026, 0.0525, 0.0940, 0.058, 0], [-0.037, 0.043, 0.0865, 0.045, 0], [-0.044, 0.030, 0.070, 0.030, 0],
    [-0.046, 0.004, 0.020, 0.004, 0],
])  # fmt: skip


def face_v(y: FloatArray | float) -> FloatArray | float:
    """Return the row of the face texture for a height above the head joint."""
    return (TOP - y) * (127.0 / (TOP - CHIN))


def add_head(builder: MeshBuilder, shape: BodyShape, outfit: Outfit, rest: FloatArray) -> None:
    """Add the head with ears, nose, hair and what is worn on it."""
    bone = BONE["head"]
    joint = rest[bone]
    size = shape.head
    y = HEAD[:, 0]
    extents = HEAD[:, 1:4].copy()
    extents[:, 0] = extents[:, 0] * (1 + (shape.jaw - 1) * smoothstep(-0.05, 0.02, -y))
    centres = _place(joint, size, y)
    outline = np.ones((len(y), HEAD_SEGMENTS + 1))
    front = HEAD_SEGMENTS // 2
    ridge = HEAD[:, 4] * shape.nose / np.maximum(extents[:, 1], 0.02)
    outline[:, front] += ridge
    outline[:, front - 1] += ridge * 0.22
    outline[:, front + 1] += ridge * 0.22
    builder.tube(
        centres, extents * size, on(bone, len(y)), MATERIAL["face"], segments=HEAD_SEGMENTS, square=0.04,
        outline=outline, repeat_u=2, v_texels=np.asarray(face_v(y)),
    )  # fmt: skip
    y = 0.045 + np.array([0.034, 0.030, 0.014, -0.006, -0.022, -0.030])
    half = np.array([0.002, 0.010, 0.014, 0.012, 0.009, 0.002])
    ear = _place(joint, size, y)
    ear[:, 0] = 0.0765 * size
    ear[:, 2] = joint[2] + size * np.array([-0.004, -0.004, -0.004, 0.0, 0.004, 0.006])
    builder.pair(
        ear,
        columns(6, half * 0.75, half * 1.25, half * 1.5) * size,
        on(bone, 6),
        MATERIAL["skin"],
        ao=0.93,
    )
    if outfit.hair_volume > 0:
        _add_hair(builder, outfit, joint, size)
    _add_headgear(builder, outfit, joint, size)


def _place(joint: FloatArray, size: float, y: FloatArray) -> FloatArray:
    return columns(len(y), 0.0, joint[1] + y * size, joint[2] + _CENTRE_Z * size)


def _around() -> FloatArray:
    """Return how far each column is from the face's middle: 0 in front, 1 at the back."""
    return np.abs(np.arange(HEAD_SEGMENTS + 1) / HEAD_SEGMENTS - 0.5) * 2


def _hairline(outfit: Outfit) -> FloatArray:
    at = np.array([0.0, 0.22, 0.34, 0.44, 0.50, 0.60, 0.75, 1.0])
    f = outfit.hairline
    heights = np.array([f, f - 0.004, 0.095, 0.045, 0.028, 0.012, -0.022, -0.038])
    if outfit.hair_length > 0.06:
        heights[3:] = -0.05
    return interpolate(_around(), at, heights)


def _add_hair(builder: MeshBuilder, outfit: Outfit, joint: FloatArray, size: float) -> None:
    volume = outfit.hair_volume
    length = outfit.hair_length
    y = np.array(
        [0.188, 0.184, 0.174, 0.152, 0.135, 0.118, 0.100, 0.082, 0.064, 0.046, 0.028, 0.010, -0.010, -0.030]
    )
    base = interpolate(y, HEAD[::-1, 0], HEAD[::-1, 1:4])
    base[:, 2] = np.where(y < 0.03, np.maximum(base[:, 2], 0.072), base[:, 2])
    cover = np.minimum(np.maximum((y[:, None] - _hairline(outfit)[None, :]) * 5.0, -0.10), 1.0)
    outline = 1 + np.where(cover < 0, cover, np.minimum(cover * 1.4, volume))
    column = np.arange(HEAD_SEGMENTS + 1) % HEAD_SEGMENTS
    tuft = ((column * 7919 + 13) % 11 - 5) * (0.004 * outfit.hair_tufts)
    outline = outline + np.where(cover > 0.02, tuft[None, :], 0)
    lift = np.array([0.55, 0.55, 0.5, 0.3] + [0.0] * 10) * volume * 0.13
    centres = _place(joint, size, y + lift)
    extents = base
    if length > 0.06:
        below = -0.03 - np.array([0.25, 0.5, 0.8, 0.97, 1.0]) * (length - 0.03)
        hang = _place(joint, size, below)
        # Down to the shoulder blades: behind the back, which stands out further than the head.
        hang[:, 2] -= np.minimum(np.array([0.10, 0.30, 0.55, 0.62, 0.58]) * (length - 0.03), 0.06) * size
        centres = np.concatenate([centres, hang])
        spread = np.array([1.0, 1.03, 1.05, 1.0, 0.7])
        width = columns(5, 0.082 * spread, 0.05 * spread, 0.086 * spread)
        extents = np.concatenate([extents, width])
        open_front = smoothstep(0.30, 0.42, _around())
        low = 0.35 + (0.65 + volume) * open_front
        outline = np.concatenate([outline, np.broadcast_to(low, (5, HEAD_SEGMENTS + 1)) + tuft[None, :]])
    builder.tube(
        centres, extents * size, on(BONE["head"], len(centres)), MATERIAL["hair"], segments=HEAD_SEGMENTS,
        outline=outline, repeat_u=2,
    )  # fmt: skip
    if outfit.bun > 0:
        t = np.array([-1.0, -0.9, -0.5, 0.0, 0.5, 0.9, 1.0])
        radius = outfit.bun * np.array([0.05, 0.44, 0.87, 1.0, 0.87, 0.44, 0.05])
        centres = _place(joint, size, outfit.bun_height - t * outfit.bun)
        centres[:, 2] = joint[2] - size * clamp(0.105 - (outfit.bun_height - 0.1) * 0.9, 0.02, 0.125)
        builder.tube(centres, radius[:, None] * size, on(BONE["head"], 7), MATERIAL["hair"], segments=12)
    if outfit.tail > 0:
        t = np.array([0.0, 0.08, 0.3, 0.6, 0.85, 1.0])
        radius = np.array([0.016, 0.022, 0.03, 0.027, 0.018, 0.003])
        centres = _place(joint, size, 0.11 - t * outfit.tail)
        centres[:, 2] = joint[2] - size * (0.10 + np.array([0.0, 0.03, 0.045, 0.035, 0.02, 0.012]))
        builder.tube(centres, radius[:, None] * size, on(BONE["head"], 6), MATERIAL["hair"], segments=12)


def _add_headgear(builder: MeshBuilder, outfit: Outfit, joint: FloatArray, size: float) -> None:
    if outfit.headgear == "none":
        return
    bone, material = BONE["head"], MATERIAL["gear"]
    low = {"cap": 0.098, "beanie": 0.088, "hat": 0.105, "helmet": 0.085}[outfit.headgear]
    puff = {"cap": 1.08, "beanie": 1.10, "hat": 1.12, "helmet": 1.22}[outfit.headgear]
    lift = {"cap": 0.006, "beanie": 0.018, "hat": 0.03, "helmet": 0.02}[outfit.headgear]
    y = np.concatenate(
        [np.array([0.188, 0.184, 0.174, 0.155, 0.135]), np.array([low + 0.016, low, low - 0.001])]
    )
    extents = interpolate(y, HEAD[::-1, 0], HEAD[::-1, 1:4]) * puff + 0.004
    extents[0] = 0.002
    extents[-1] = extents[-1] * 0.9
    rise = lift * smoothstep(0.10, 0.17, y)
    tilt = np.array(_around())[None, :] * -0.018 * smoothstep(-0.17, -0.10, -y)[:, None]
    builder.tube(
        _place(joint, size, y + rise), extents * size, on(bone, len(y)), material, segments=HEAD_SEGMENTS,
        axial=np.broadcast_to(tilt, (len(y), HEAD_SEGMENTS + 1)),
    )  # fmt: skip
    if outfit.headgear == "cap":
        z = np.array([0.06, 0.085, 0.12, 0.15, 0.172, 0.178])
        half = np.array([0.07, 0.074, 0.070, 0.058, 0.034, 0.004])
        y = joint[1] + size * (low + 0.012 - (z - 0.06) * 0.22)
        centres = columns(6, 0.0, y, joint[2] + z * size)
        builder.tube(
            centres, columns(6, half, 0.005, 0.004) * size, on(bone, 6),
            material, axes=FORWARD, segments=12, ao=0.85,
        )  # fmt: skip
    if outfit.headgear == "hat":
        y = np.array([0.118, 0.112, 0.106, 0.104, 0.103])
        width = np.array([0.08, 0.125, 0.145, 0.140, 0.07])
        builder.tube(
            _place(joint, size, y), columns(5, width, width * 1.12, width * 1.12) * size, on(bone, 5),
            material, segments=20,
        )  # fmt: skip
