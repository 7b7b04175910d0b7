"""Light on vertices: a sun or lamp with soft shadows of the bodies, and an ambient light that bodies dim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepose.synth.body import BONE, Posture, Skeleton
from edgepose.synth.numeric import FloatArray, Random, normalised, rotate, smoothstep


@dataclass(frozen=True, slots=True)
class Light:
    """The key light comes from `direction` (world, unit length); colours are linear (B, G, R) factors."""

    direction: FloatArray
    key: FloatArray
    sky: FloatArray
    ground: FloatArray
    softness: float  # of shadows: 0 hard, 1 overcast


def sample_light(random: Random) -> Light:
    """Draw the direction, colour and softness of the light."""
    elevation = random.uniform(0.25, 0.95)
    side = random.uniform(-1.0, 1.0)
    front = random.choice((1.0, -0.6), (0.8, 0.2)) * random.uniform(0.2, 1.0)
    direction = normalised(np.array([side, elevation, front]))
    softness = random.unit()
    warm = random.normal(0.0, 0.10)
    tint = np.array([1 - warm, 1.0, 1 + warm])
    exposure = random.uniform(0.72, 1.12)
    ambient = (0.22 + 0.38 * softness) * exposure
    cool = random.normal(0.0, 0.06)
    sky = ambient * np.array([1 + cool, 1.0, 1 - cool])
    bounce = random.uniform(0.35, 0.8)
    return Light(
        direction=direction,
        key=(1.05 - 0.60 * softness) * exposure * tint,
        sky=sky,
        ground=sky * bounce * np.array([0.92, 0.97, 1.03]),
        softness=softness,
    )


_CHUNK = 2048  # vertices: what is computed of them and all spheres stays in the cache

_SPHERES = (
    ("chest", (0.0, 0.11, 0.0), 0.125), ("chest", (0.075, 0.12, 0.0), 0.10),
    ("chest", (-0.075, 0.12, 0.0), 0.10), ("spine", (0.0, 0.05, 0.0), 0.118),
    ("pelvis", (0.06, 0.0, 0.0), 0.115), ("pelvis", (-0.06, 0.0, 0.0), 0.115),
    ("head", (0.0, 0.10, 0.005), 0.088), ("head", (0.0, 0.02, 0.03), 0.062),
    ("neck", (0.0, 0.03, 0.0), 0.055),
)  # fmt: skip
_SHADOW_SPHERES = len(_SPHERES)
_LIMB_SPHERES = (
    ("upper_arm", "forearm", (0.45,), 0.056), ("forearm", "hand", (0.35,), 0.052),
    ("hand", "fingers", (0.7,), 0.042), ("thigh", "shin", (0.2, 0.65), 0.085),
    ("shin", "foot", (0.15, 0.6), 0.056),
)  # fmt: skip


def body_spheres(skeleton: Skeleton, posture: Posture) -> tuple[FloatArray, FloatArray]:
    """Return centres (S, 3) and radii (S,) of spheres that stand for the body when light is blocked."""
    centres, radii = [], []
    girth = 0.5 + 0.5 * skeleton.shape.girth
    bones = np.array([BONE[name] for name, _, _ in _SPHERES])
    offsets = np.array([offset for _, offset, _ in _SPHERES]) * skeleton.scale
    centres.append(posture.origins[bones] + rotate(posture.rotations[bones], offsets))
    radii += [radius * girth for _, _, radius in _SPHERES]
    for side in ("_l", "_r"):
        for start, end, places, radius in _LIMB_SPHERES:
            a, b = posture.origins[BONE[start + side]], posture.origins[BONE[end + side]]
            for place in places:
                centres.append((a + (b - a) * place)[None])
                radii.append(radius * girth)
        foot = BONE["foot" + side]
        toe = posture.origins[foot] + rotate(
            posture.rotations[foot], np.array([0.0, -0.05, 0.07]) * skeleton.scale
        )
        centres.append(toe[None])
        radii.append(0.055)
    return np.concatenate(centres), np.array(radii) * skeleton.scale


def light_vertices(
    vertices: FloatArray,
    normals: FloatArray,
    ao: FloatArray,
    spheres: tuple[FloatArray, FloatArray],
    light: Light,
) -> tuple[FloatArray, FloatArray]:
    """Return key and ambient light on vertices (3, V), each (V,): factors on light.key and light.sky."""
    p, n = vertices.astype(np.float32), normals.astype(np.float32)
    ld = light.direction.astype(np.float32)
    lambert = n[0] * ld[0] + n[1] * ld[1] + n[2] * ld[2]
    wrap = np.float32(0.08 + 0.22 * light.softness)
    key = np.maximum((lambert + wrap) / (1 + wrap), np.float32(0))
    dark, shadow = np.empty_like(key), np.empty_like(key)
    for start in range(0, len(key), _CHUNK):
        part = slice(start, start + _CHUNK)
        dark[part], shadow[part] = _blocked(p[:, part], n[:, part], spheres, light)
    strength = np.float32(0.85 - 0.35 * light.softness)
    key = key * (1 - strength * (1 - shadow))
    ambient = ao.astype(np.float32) / (1 + np.float32(1.4) * dark)
    return key * np.minimum(ambient * np.float32(1.3), np.float32(1)), ambient


def _blocked(
    p: FloatArray, n: FloatArray, spheres: tuple[FloatArray, FloatArray], light: Light
) -> tuple[FloatArray, FloatArray]:
    """Return how far spheres close light off and how much of the key light they leave at vertices (3, V)."""
    ld = light.direction.astype(np.float32)
    centres = spheres[0].astype(np.float32).T[:, :, None]
    radius = spheres[1].astype(np.float32)[:, None]
    half, one, zero = np.float32(0.5), np.float32(1), np.float32(0)
    # Arrays (S, V); the sums over the spheres are taken one by one below, in a fixed order.
    dx, dy, dz = centres[0] - p[0], centres[1] - p[1], centres[2] - p[2]
    d2 = dx * dx + dy * dy + dz * dz
    facing = n[0] * dx + n[1] * dy + n[2] * dz
    r2 = radius * radius
    inverse = r2 / np.maximum(d2, r2)
    closing = np.maximum(facing, zero)
    closing *= inverse * np.sqrt(inverse) * (one / radius)
    # The spheres of trunk and head come first and throw shadows; most of the limbs only close light off.
    some = [k for k in range(len(radius)) if k < _SHADOW_SPHERES or k % 2 == 0]
    dx, dy, dz, d2, radius = (a.take(some, axis=0) for a in (dx, dy, dz, d2, radius))
    # Distance of the centre from the ray to the light, against the radius: an edge that softens with the way.
    along = dx * ld[0] + dy * ld[1] + dz * ld[2]
    miss = np.sqrt(np.maximum(d2 - along * along, zero))
    blur = np.float32((0.25 + 0.9 * light.softness) * 0.35)
    edge = radius * np.float32(0.25) + np.maximum(along, zero) * blur
    blocked = np.minimum(np.maximum((radius - miss) / edge + half, zero), one)
    blocked *= np.minimum(np.maximum(along / radius - np.float32(0.55), zero), one)
    np.subtract(one, blocked, out=blocked)
    dark, shadow = closing[0], blocked[0]
    for row in closing[1:]:
        dark += row
    for row in blocked[1:]:
        shadow *= row
    return dark, shadow


def hemisphere(normal_y: FloatArray) -> FloatArray:
    """Return how much of the sky is seen by vertices whose normal's y is given, 0..1."""
    out: FloatArray = smoothstep(-1.4, 1.2, normal_y.astype(np.float32))
    return out
