"""The figure of a person: trunk, limbs, hands and shoes as tubes, dressed as the outfit says.

Heights are those of a body of 1.75 m; MeshBuilder scales them. Materials are indices of `MATERIALS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgepose.synth.body import BONE, BodyShape, Skeleton, make_skeleton
from edgepose.synth.head import add_head
from edgepose.synth.mesh import Sheet, TubeMesh
from edgepose.synth.numeric import PI, FloatArray, columns, interpolate, sin_cos_array, smoothstep, spaced
from edgepose.synth.outfit import MATERIAL, Outfit
from edgepose.synth.tubes import FORWARD, LEFT, RIGHT, Blend, MeshBuilder, chain, on

# Trunk: height, half width, front depth, back depth, centre z.
_TRUNK = np.array([
    [1.495, 0.060, 0.052, 0.058, -0.026], [1.475, 0.082, 0.060, 0.068, -0.028],
    [1.455, 0.112, 0.068, 0.078, -0.028], [1.435, 0.143, 0.079, 0.086, -0.026],
    [1.405, 0.163, 0.092, 0.092, -0.022], [1.370, 0.166, 0.103, 0.097, -0.018],
    [1.320, 0.164, 0.112, 0.100, -0.014], [1.260, 0.156, 0.114, 0.098, -0.012],
    [1.200, 0.149, 0.110, 0.092, -0.010], [1.140, 0.142, 0.106, 0.085, -0.008],
    [1.080, 0.139, 0.105, 0.083, -0.006], [1.030, 0.145, 0.107, 0.088, -0.004],
    [0.980, 0.160, 0.107, 0.100, -0.002], [0.930, 0.173, 0.103, 0.112, 0.000],
    [0.885, 0.175, 0.096, 0.112, 0.000], [0.845, 0.156, 0.080, 0.096, 0.000],
    [0.810, 0.120, 0.060, 0.066, 0.000], [0.785, 0.030, 0.020, 0.020, 0.000],
])  # fmt: skip
# How much of the trunk's heights moves with the legs; where hips end, shoulders and neck begin, where belly
# and bust begin and end (from, to).
_TRUNK_MOVES = 1 - smoothstep(1.15, 1.40, _TRUNK[:, 0])
_FROM, _TO = np.array([
    [0.98, 1.08], [1.20, 1.36], [1.40, 1.48], [0.88, 1.04], [1.12, 1.30], [1.20, 1.285], [1.30, 1.40],
]).T[..., None]  # fmt: skip
# Arm and leg: height, half width, front depth, back depth.
_ARM = np.array([
    [1.454, 0.004, 0.004, 0.004], [1.449, 0.021, 0.024, 0.024], [1.437, 0.036, 0.041, 0.041],
    [1.415, 0.047, 0.052, 0.052], [1.385, 0.053, 0.056, 0.056], [1.345, 0.052, 0.055, 0.055],
    [1.290, 0.048, 0.052, 0.052], [1.220, 0.044, 0.047, 0.048], [1.160, 0.041, 0.043, 0.043],
    [1.118, 0.040, 0.041, 0.044], [1.080, 0.042, 0.043, 0.043], [1.030, 0.041, 0.042, 0.042],
    [0.970, 0.035, 0.037, 0.037], [0.910, 0.027, 0.030, 0.030], [0.863, 0.022, 0.028, 0.028],
])  # fmt: skip
_LEG = np.array([
    [0.985, 0.010, 0.010, 0.010], [0.965, 0.045, 0.055, 0.070], [0.915, 0.076, 0.084, 0.098],
    [0.860, 0.085, 0.089, 0.098], [0.800, 0.086, 0.087, 0.090], [0.720, 0.077, 0.079, 0.080],
    [0.630, 0.068, 0.069, 0.069], [0.550, 0.058, 0.060, 0.058], [0.497, 0.055, 0.061, 0.054],
    [0.450, 0.053, 0.055, 0.056], [0.390, 0.054, 0.049, 0.066], [0.320, 0.051, 0.045, 0.064],
    [0.240, 0.041, 0.040, 0.048], [0.160, 0.034, 0.035, 0.038], [0.088, 0.033, 0.042, 0.042],
    [0.060, 0.033, 0.045, 0.042],
])  # fmt: skip
# Shoe: z from the ankle, half width, height of the upper, centre height.
_SHOE = np.array([
    [-0.078, 0.004, 0.010], [-0.074, 0.022, 0.050], [-0.055, 0.032, 0.082], [-0.015, 0.035, 0.108],
    [0.030, 0.037, 0.100], [0.065, 0.041, 0.078], [0.100, 0.046, 0.062], [0.135, 0.047, 0.052],
    [0.165, 0.039, 0.044], [0.186, 0.022, 0.034], [0.194, 0.004, 0.012],
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """A dressed person who can be posed."""

    skeleton: Skeleton
    mesh: TubeMesh


def make_figure(shape: BodyShape, outfit: Outfit, *, fingers: bool = True) -> Figure:
    """Build the figure of that shape and outfit; one that is only seen from afar needs no fingers."""
    skeleton = make_skeleton(shape)
    builder = MeshBuilder(skeleton.origins, skeleton.scale)
    rest = skeleton.origins / skeleton.scale
    _add_trunk(builder, shape, outfit, rest)
    _add_arms(builder, shape, outfit, rest)
    _add_hands(builder, float(rest[BONE["hand_l"], 0]), fingers)
    _add_legs(builder, shape, outfit, rest)
    add_head(builder, shape, outfit, rest)
    mesh = builder.build()
    if outfit.skirt_hem is not None:
        mesh.add_sheet(_sheet(shape, outfit, rest, skeleton.scale), skeleton.origins)
    return Figure(skeleton, mesh)


def _trunk_profile(shape: BodyShape, y: FloatArray, rest: FloatArray) -> FloatArray:
    """Return half width, front, back and centre z of the bare trunk at heights y."""
    lift = float(rest[BONE["thigh_l"], 1]) - 0.915
    # Only what lies below the chest moves with the length of the legs.
    table_y = _TRUNK[:, 0] + lift * _TRUNK_MOVES
    profile = interpolate(y, table_y[::-1], _TRUNK[::-1, 1:])
    h = y - lift * (1 - smoothstep(1.15, 1.40, y))
    above_hips, shoulder, neck, belly, above_belly, bust, above_bust = smoothstep(_FROM, _TO, h)
    hips = 1 - above_hips
    waist = (1 - hips) * (1 - shoulder)
    slim = 0.93 if shape.bust else 1.0
    width = shape.hips * hips + shape.shoulders * shoulder + slim * waist
    girth = 1 + (shape.girth - 1) * (1 - neck)
    belly = shape.belly * belly * (1 - above_belly)
    bust = shape.bust * bust * (1 - above_bust)
    out: FloatArray = profile.copy()
    out[:, 0] = profile[:, 0] * width * girth + belly * 0.4
    out[:, 1] = profile[:, 1] * girth + belly + bust
    out[:, 2] = profile[:, 2] * girth * (slim * waist + (1 - waist))
    return out


def _trunk_blend(y: FloatArray, rest: FloatArray) -> Blend:
    bones = [BONE["neck"], BONE["chest"], BONE["spine"], BONE["pelvis"]]
    return chain(y, bones, [1.53, float(rest[BONE["chest"], 1]), float(rest[BONE["spine"], 1])], 0.068)


def _add_trunk(builder: MeshBuilder, shape: BodyShape, outfit: Outfit, rest: FloatArray) -> None:
    lift = float(rest[BONE["thigh_l"], 1]) - 0.915
    hem = outfit.top_hem + lift
    y = np.concatenate([
        [1.497, 1.486, 1.470, 1.452, 1.432, 1.405, 1.370, 1.325, 1.280, 1.235], spaced(1.19, hem, 8)
    ])  # fmt: skip
    profile = _trunk_profile(shape, y, rest)
    tucked = outfit.top_hem > 0.965
    loose = (1 - 0.9 * smoothstep(-1.16, -1.07, -y + lift)) if tucked else 1.0
    ease = outfit.top_ease * smoothstep(-1.47, -1.36, -y) * loose + 0.003
    flare = 0.0 if tucked else outfit.top_flare * smoothstep(-1.15, -hem, -y) + 0.012
    # Cloth hangs from chest and belly: below them it does not follow the body inwards.
    width = profile[:, 0] + (ease + flare) * 0.8
    front = profile[:, 1] + ease + flare
    hang = 0.0 if tucked else outfit.top_hang
    for index in range(9, len(y)):
        front[index] = max(front[index], front[index - 1] * hang)
        width[index] = max(width[index], width[index - 1] * hang)
    extents = columns(len(y), width, front, profile[:, 2] + ease + flare)
    centres = columns(len(y), 0.0, y, profile[:, 3])
    square = 0.10 + 0.14 * smoothstep(1.18, 1.34, y)
    builder.tube(
        centres, extents, _trunk_blend(y, rest), MATERIAL["top"], segments=20, square=square,
        v_texels=(1.497 - y) / (1.497 - 0.85) * 127.0,
    )  # fmt: skip
    waist = 1.045 + lift
    y = np.concatenate([[waist, waist - 0.004], spaced(waist - 0.02, 0.785 + lift, 9)])
    profile = _trunk_profile(shape, y, rest)
    ease = (
        outfit.bottom_ease * 0.45 + 0.007 if tucked else min(outfit.bottom_ease * 0.4, outfit.top_ease * 0.5)
    )
    extents = np.maximum(profile[:, :3] + ease * smoothstep(0.75, 0.84, y - lift)[:, None], 0.01)
    extents[0] = extents[1] - 0.012
    if outfit.skirt_hem is not None:
        extents = np.maximum(extents - 0.02, 0.008)
    centres = columns(len(y), 0.0, y, profile[:, 3])
    under = "sleeve" if outfit.skirt_hem is not None and not outfit.skirt_is_bottom else "bottom"
    builder.tube(
        centres, extents, _trunk_blend(y, rest), MATERIAL[under], segments=20, square=0.08, repeat_u=2,
        v_texels=(waist - y) * 250.0,
    )  # fmt: skip
    y = np.array([1.575, 1.545, 1.515, 1.488, 1.462, 1.43])
    thick = (0.94 if shape.bust else 1.03) * (0.6 + 0.4 * shape.girth)
    width = np.array([0.053, 0.053, 0.054, 0.057, 0.066, 0.07]) * thick
    centres = columns(6, 0.0, y, np.array([-0.010, -0.014, -0.019, -0.024, -0.027, -0.027]))
    extents = columns(6, width, width * 0.98, width * 1.05)
    blend = chain(y, [BONE["head"], BONE["neck"], BONE["chest"]], [1.555, 1.462], 0.04)
    builder.tube(centres, extents, blend, MATERIAL["skin"], segments=12)
    if outfit.collar > 0:
        y = np.array([1.463 + outfit.collar, 1.463 + outfit.collar, 1.475, 1.455])
        width = np.array([0.052, 0.062, 0.067, 0.085]) * thick + 0.004
        centres = columns(4, 0.0, y, -0.025)
        extents = columns(4, width, width, width * 1.05)
        builder.tube(
            centres, extents, chain(y, [BONE["neck"], BONE["chest"]], [1.48], 0.03), MATERIAL["sleeve"]
        )


def _add_arms(builder: MeshBuilder, shape: BodyShape, outfit: Outfit, rest: FloatArray) -> None:
    x = float(rest[BONE["upper_arm_l"], 0])
    bones = [BONE["upper_arm_l"], BONE["forearm_l"], BONE["hand_l"]]
    thick = shape.limbs * (0.75 + 0.25 * shape.girth)

    def tube(y: FloatArray, ease: FloatArray, material: str) -> None:
        profile = interpolate(y, _ARM[::-1, 0], _ARM[::-1, 1:])
        centres = columns(len(y), x, y, -0.024)
        blend = chain(y, bones, [1.118, 0.863], 0.055)
        builder.pair(
            centres, profile * thick + ease[:, None], blend, MATERIAL[material], v_texels=(1.47 - y) * 280.0
        )

    cuff = 1.44 - outfit.sleeve
    if outfit.sleeve > 0.0:
        y = np.concatenate([_ARM[:4, 0], spaced(1.395, cuff, 4 + int(outfit.sleeve * 18)), [cuff - 0.001]])
        ease = (outfit.sleeve_ease * smoothstep(-1.45, -1.30, -y)) * (
            1 + 0.7 * outfit.sleeve_flare * (1.44 - y)
        )
        ease[-1] = -0.006
        tube(y, ease + 0.004, "sleeve")
    if cuff > 0.87:
        bare = (
            _ARM[:, 0]
            if outfit.sleeve <= 0.0
            else np.concatenate([[cuff + 0.012], _ARM[_ARM[:, 0] < cuff, 0]])
        )
        tube(bare, np.zeros_like(bare), "skin")
    # From the neck to the shoulder: fills the gap when the arm is up.
    reach = np.array([0.03, 0.07, 0.105, 0.135, 0.158, 0.172]) * (x / 0.168)
    centres = columns(6, reach, np.array([1.432, 1.424, 1.414, 1.406, 1.401, 1.400]), -0.024)
    radius = np.array([0.058, 0.055, 0.052, 0.049, 0.045, 0.02]) * (0.5 + 0.5 * thick)
    radius = radius + outfit.top_ease * 0.4 + 0.002
    weight = np.array([0.25, 0.6, 0.9, 1.0, 1.0, 1.0])
    blend = Blend(np.full(6, BONE["chest"]), np.full(6, BONE["clavicle_l"]), weight)
    material = MATERIAL["sleeve"] if outfit.sleeve > 0.0 or outfit.straps else MATERIAL["skin"]
    builder.pair(centres, radius[:, None], blend, material, axes=LEFT, mirrored_axes=RIGHT)


@lru_cache(maxsize=1)
def _digits() -> tuple[FloatArray, FloatArray, Blend]:
    """Return centres (x from the wrist), extents and bones of the left fingers and thumb, five rings each."""
    centres, extents, bones = [], [], []
    for offset, length in ((0.027, 0.072), (0.009, 0.082), (-0.009, 0.077), (-0.026, 0.06)):
        y = 0.784 - np.array([0.0, 0.4, 0.75, 0.97, 1.0]) * length
        z = -0.0185 + offset * np.array([1.0, 1.02, 1.02, 1.0, 1.0])
        # The curl of the fingers' bone is for their roots; the tips curl a little more.
        inward = -0.16 * np.array([0.0, 0.05, 0.22, 0.45, 0.5]) * length
        centres.append(np.stack([inward, y, z], axis=1))
        extents.append(np.array([0.0095, 0.0092, 0.0085, 0.0055, 0.001]))
        bones += [BONE["fingers_l"]] * 5
    along = np.array([0.0, 0.35, 0.75, 0.97, 1.0])
    centres.append(np.stack([-0.006 - 0.016 * along, 0.848 - 0.068 * along, 0.008 + 0.028 * along], axis=1))
    extents.append(np.array([0.014, 0.0125, 0.0105, 0.007, 0.001]))
    bones += [BONE["hand_l"]] * 5
    index = np.array(bones)
    half = np.concatenate(extents)
    return np.concatenate(centres), half[:, None], Blend(index, index, np.zeros(len(index)))


def _add_hands(builder: MeshBuilder, x: float, fingers: bool) -> None:
    skin = MATERIAL["skin"]
    y = np.array([0.885, 0.863, 0.84, 0.81, 0.785, 0.772])
    z = np.array([-0.022, -0.022, -0.02, -0.018, -0.017, -0.017])
    extents = np.array([
        [0.021, 0.027, 0.027], [0.021, 0.027, 0.027], [0.018, 0.034, 0.031],
        [0.016, 0.040, 0.037], [0.014, 0.041, 0.038], [0.010, 0.036, 0.034],
    ])  # fmt: skip
    if not fingers:  # a palm as long as the hand
        y = y - np.array([0.0, 0.0, 0.01, 0.035, 0.065, 0.075])
    builder.pair(columns(6, x, y, z), extents, on(BONE["hand_l"], 6), skin, square=0.3)
    if not fingers:
        return
    centres, extents, blend = _digits()
    builder.pair(
        centres + np.array([x, 0.0, 0.0]), extents, blend, skin, segments=6, v_texels=(0.9 - centres[:, 1]) *
        400.0, lengths=(5,) * 5,
    )  # fmt: skip


def _add_legs(builder: MeshBuilder, shape: BodyShape, outfit: Outfit, rest: FloatArray) -> None:
    thigh, shin, foot = (rest[BONE[name]] for name in ("thigh_l", "shin_l", "foot_l"))
    legs = shape.legs
    bones = [BONE["pelvis"], BONE["thigh_l"], BONE["shin_l"], BONE["foot_l"]]
    thick = shape.limbs * (0.7 + 0.3 * shape.girth)

    def tube(y: FloatArray, ease: FloatArray, material: str) -> None:
        profile = interpolate(y, _LEG[::-1, 0] * legs, _LEG[::-1, 1:])
        joints = np.stack([foot, shin, thigh])
        axis = interpolate(y, joints[:, 1], joints)
        centres = columns(len(y), axis[:, 0], y, axis[:, 2])
        upper = smoothstep(0.45, 0.62, y)[:, None]
        extents = profile * (thick * (upper * (0.5 + 0.5 * shape.hips) + (1 - upper))) + ease[:, None]
        blend = chain(y, bones, [float(thigh[1]) + 0.01, float(shin[1]), float(foot[1])], 0.07)
        builder.pair(centres, extents, blend, MATERIAL[material], v_texels=(1.0 - y) * 250.0)

    hem = (0.965 - outfit.leg_hem) * legs if outfit.leg_hem > 0 else 10.0
    if outfit.leg_hem > 0:
        y = np.concatenate(
            [_LEG[:3, 0] * legs, spaced(0.87 * legs, hem, 4 + int(outfit.leg_hem * 13)), [hem - 0.001]]
        )
        ease = outfit.bottom_ease * (0.5 + 0.8 * smoothstep(-0.85, -hem - 0.001, -y)) + 0.004
        ease = ease + outfit.bottom_flare * smoothstep(-0.5, min(-hem, -0.1), -y)
        ease[-1] = -0.006
        tube(y, ease, "bottom")
    elif outfit.skirt_hem is not None:  # below the skirt: what would come through it has its colour
        hem = min(outfit.skirt_hem * legs + 0.05, 0.80 * legs)
        y = np.concatenate([_LEG[:3, 0] * legs, spaced(0.87 * legs, hem, 8)])
        tube(y, np.full(len(y), 0.002), "bottom" if outfit.skirt_is_bottom else "sleeve")
    shaft = outfit.shaft * legs
    if hem > 0.13:
        bare = _LEG[:, 0] * legs
        bare = bare[bare < hem] if outfit.leg_hem > 0 else bare
        bare = np.concatenate([[hem + 0.012], bare]) if outfit.leg_hem > 0 else bare
        tube(bare, np.zeros_like(bare), "leg")
    if shaft > 0.09:
        y = np.concatenate([[shaft, shaft - 0.001], spaced(shaft - 0.02, 0.06, 5)])
        ease = np.full(len(y), outfit.shaft_ease)
        ease[0] = -0.005
        tube(y, ease, outfit.shaft_material)
    z = _SHOE[:, 0]
    height = _SHOE[:, 2] * (0.9 if outfit.barefoot else 1.0)
    width = _SHOE[:, 1] * (0.93 if outfit.barefoot else 1.06)
    centres = columns(len(z), foot[0], 0.012 + height * 0.45, foot[2] + z)
    extents = columns(len(z), width, height * 0.55, height * 0.45 + 0.012)
    texels = np.clip((z + 0.08) / 0.275, 0, 1) * 127.0
    builder.pair(
        centres,
        extents,
        on(BONE["foot_l"], len(z)),
        MATERIAL["shoe"],
        axes=FORWARD,
        square=0.35,
        v_texels=texels,
    )


def _sheet(shape: BodyShape, outfit: Outfit, rest: FloatArray, scale: float) -> Sheet:
    """Make the skirt, or the tail of a coat or dress, at rest."""
    assert outfit.skirt_hem is not None
    lift = float(rest[BONE["thigh_l"], 1]) - 0.915
    top, hem = 1.05 + lift, outfit.skirt_hem * shape.legs
    rows, across = 12, 25
    y = spaced(top, hem, rows)
    profile = _trunk_profile(shape, np.maximum(y, 0.90 + lift), rest)
    down = (top - y) / (top - hem)
    flare = outfit.skirt_flare * down * down * 0.5 + outfit.skirt_flare * down * 0.5
    u = np.arange(across) / (across - 1)
    sine, cosine = sin_cos_array((u - 0.25) * (2 * PI))
    fold, _ = sin_cos_array(u * (2 * PI) * outfit.skirt_folds)
    ripple = 1 + 0.09 * outfit.skirt_ripple * fold[None, :] * down[:, None]
    width = (profile[:, 0] + 0.014 + flare)[:, None] * ripple
    depth = np.where(
        sine >= 0, (profile[:, 1] + 0.014 + flare)[:, None], (profile[:, 2] + 0.014 + flare)[:, None]
    )
    grid = np.stack([
        cosine * width, np.broadcast_to(y[:, None], (rows, across)), sine * depth * ripple + profile[:, 3:4]
    ])  # fmt: skip
    pelvis = 1 - smoothstep(-1.0, -0.74, -(y - lift))[:, None] * np.ones((1, across))
    left = smoothstep(-0.09, 0.09, grid[0])
    weights = np.stack([pelvis, (1 - pelvis) * left, (1 - pelvis) * (1 - left)])
    uv = np.empty((2, rows, across))
    uv[0] = u * 384.0
    uv[1] = ((top - y) * 320.0)[:, None]
    return Sheet(
        rest=grid * scale,
        bones=(BONE["pelvis"], BONE["thigh_l"], BONE["thigh_r"]),
        weights=weights,
        uv=uv,
        ao=1 + 0.25 * outfit.skirt_ripple * (fold[None, :] * down[:, None]),
        material=MATERIAL["bottom" if outfit.skirt_is_bottom else "sleeve"],
    )
