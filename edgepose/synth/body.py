"""The skeleton of a synthetic person: its proportions, its joints and where a pose puts them.

Metres. Body axes: x to the person's left, y up, z to the front. At rest the person stands upright with the
arms hanging and every bone's rotation is the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgepose.synth.numeric import FloatArray, Random, rotate, sin_cos, smoothstep

BONES = (
    "pelvis", "spine", "chest", "neck", "head",
    "clavicle_l", "upper_arm_l", "forearm_l", "hand_l", "fingers_l",
    "clavicle_r", "upper_arm_r", "forearm_r", "hand_r", "fingers_r",
    "thigh_l", "shin_l", "foot_l", "thigh_r", "shin_r", "foot_r",
)  # fmt: skip
BONE = {name: index for index, name in enumerate(BONES)}
PARENTS = (-1, 0, 1, 2, 3, 2, 5, 6, 7, 8, 2, 10, 11, 12, 13, 0, 15, 16, 0, 18, 19)

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
    "left_ankle", "right_ankle",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BodyShape:
    """The build of one person; the factors multiply the proportions of an average adult.

    head grows towards a child's proportions with a small height; bust is 0 for a flat chest.
    """

    height_m: float = 1.72
    girth: float = 1.0
    belly: float = 0.0
    shoulders: float = 1.0
    hips: float = 1.0
    limbs: float = 1.0
    legs: float = 1.0
    head: float = 1.0
    bust: float = 0.0
    jaw: float = 1.0
    nose: float = 1.0


def sample_shape(random: Random) -> BodyShape:
    """Draw the build of a person: about one in eight is a child."""
    feminine = random.chance(0.5)
    child = random.chance(0.12)
    heavy = random.normal(0, 1)
    if child:
        height = random.uniform(1.0, 1.5)
        head = 1.0 + (1.62 - height) * 0.75
    else:
        height = random.normal(1.64 if feminine else 1.77, 0.065)
        head = random.normal(1.0, 0.03)
    return BodyShape(
        height_m=height,
        girth=max(0.84, 1.0 + 0.10 * heavy - (0.05 if feminine else 0.0)),
        belly=max(0.0, 0.035 * heavy - 0.01),
        shoulders=random.normal(0.93 if feminine else 1.03, 0.03) * (0.94 if child else 1),
        hips=random.normal(1.05 if feminine else 0.98, 0.03),
        limbs=max(0.8, random.normal(0.93 if feminine else 1.03, 0.06) + 0.04 * heavy),
        legs=random.normal(0.94 if child else 1.0, 0.02),
        head=head,
        bust=random.uniform(0.015, 0.05) if feminine and not child else 0.0,
        jaw=random.normal(0.93 if feminine else 1.03, 0.04),
        nose=random.normal(1.0, 0.15),
    )


# Where COCO puts a joint: the bone that carries it, the bone at whose origin it lies, metres above that.
_JOINTS = {
    "shoulder": ("clavicle", "upper_arm", 0.010), "elbow": ("forearm", "forearm", 0.0),
    "wrist": ("hand", "hand", 0.0), "hip": ("thigh", "thigh", 0.0), "knee": ("shin", "shin", 0.012),
    "ankle": ("foot", "foot", 0.014),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Rest positions (metres) of the bones' origins and of the keypoints, and the bones that carry these."""

    shape: BodyShape
    scale: float
    origins: FloatArray  # (21, 3)
    offsets: tuple[tuple[float, float, float], ...]  # from the parent's origin
    keypoint_bones: tuple[int, ...]
    keypoints: FloatArray  # (17, 3)


def make_skeleton(shape: BodyShape) -> Skeleton:
    """Lay out the joints of a person of that build."""
    k = shape.height_m / 1.75
    legs = shape.legs
    hip_y = 0.915 * legs
    up = hip_y - 0.915  # longer legs lift all that is above
    shoulder_x = 0.168 * shape.shoulders
    hip_x = 0.092 * shape.hips
    # Head and legs share the height: a larger head shortens the trunk a little.
    head_y = 1.565 - 0.18 * (shape.head - 1) - up
    rest = {
        "pelvis": (0.0, 0.955 + up, 0.0),
        "spine": (0.0, 1.05 + up, -0.005),
        "chest": (0.0, 1.19 + up, -0.012),
        "neck": (0.0, 1.462, -0.028),
        "head": (0.0, head_y + up, 0.0),
    }
    for side, sign in (("l", 1.0), ("r", -1.0)):
        x = sign * shoulder_x
        rest[f"clavicle_{side}"] = (sign * 0.03, 1.43, -0.02)
        rest[f"upper_arm_{side}"] = (x, 1.412, -0.022)
        rest[f"forearm_{side}"] = (x, 1.118, -0.026)
        rest[f"hand_{side}"] = (x, 0.863, -0.022)
        rest[f"fingers_{side}"] = (x, 0.775, -0.018)
        rest[f"thigh_{side}"] = (sign * hip_x, hip_y, 0.0)
        rest[f"shin_{side}"] = (sign * hip_x * 0.97, 0.497 * legs, 0.006)
        rest[f"foot_{side}"] = (sign * hip_x * 0.95, 0.088 * legs, -0.02)
    head = np.array(rest["head"])
    size = shape.head
    points: dict[str, tuple[str, FloatArray]] = {
        "nose": ("head", head + size * np.array([0.0, 0.026, 0.106 + 0.02 * shape.nose])),
        "left_eye": ("head", head + size * np.array([0.032, 0.066, 0.087])),
        "right_eye": ("head", head + size * np.array([-0.032, 0.066, 0.087])),
        "left_ear": ("head", head + size * np.array([0.077, 0.045, 0.004])),
        "right_ear": ("head", head + size * np.array([-0.077, 0.045, 0.004])),
    }
    for name in KEYPOINTS[5:]:
        side, joint = name.split("_")
        carrier, bone, lift = _JOINTS[joint]
        suffix = "_l" if side == "left" else "_r"
        points[name] = (carrier + suffix, np.array(rest[bone + suffix]) + np.array([0.0, lift, 0.0]))
    origins = np.array([rest[name] for name in BONES]) * k
    return Skeleton(
        shape=shape,
        scale=k,
        origins=origins,
        offsets=tuple(
            tuple((origins[i] - (origins[parent] if parent >= 0 else 0.0)).tolist())
            for i, parent in enumerate(PARENTS)
        ),
        keypoint_bones=tuple(BONE[points[name][0]] for name in KEYPOINTS),
        keypoints=np.stack([points[name][1] for name in KEYPOINTS]) * k,
    )


@dataclass(frozen=True, slots=True)
class Pose:
    """Joint angles in radians; every angle of 0 is the person standing at rest, facing +z.

    Arms: abduct lifts sideways, flex lifts to the front, twist turns inwards about the upper arm, elbow
    bends. Legs: flex lifts the thigh to the front, abduct spreads, twist turns outwards, knee bends back,
    ankle lifts the toes. The turn is about the vertical axis; pitch leans the pelvis to the front, roll to
    the person's right.
    """

    turn: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    spine: tuple[float, float, float] = (
        0.0,
        0.0,
        0.0,
    )  # bend to the front, twist to the left, bend to the right
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)  # nod down, turn left, tilt to the right
    arm_l: tuple[float, float, float, float] = (0.12, 0.0, 0.0, 0.15)  # abduct, flex, twist, elbow
    arm_r: tuple[float, float, float, float] = (0.12, 0.0, 0.0, 0.15)
    hand_l: tuple[float, float, float] = (0.0, 0.0, 0.35)  # wrist flex, forearm twist, finger curl
    hand_r: tuple[float, float, float] = (0.0, 0.0, 0.35)
    leg_l: tuple[float, float, float, float, float] = (
        0.0,
        0.04,
        0.1,
        0.03,
        0.0,
    )  # flex, abduct, twist, knee, ankle
    leg_r: tuple[float, float, float, float, float] = (0.0, 0.04, 0.1, 0.03, 0.0)


@dataclass(frozen=True, slots=True)
class Posture:
    """A skeleton in a pose: rotations (21, 3, 3), origins (21, 3) of the bones, keypoints (17, 3)."""

    rotations: FloatArray
    origins: FloatArray
    keypoints: FloatArray
    extra: Mapping[str, float] = field(default_factory=dict)

    def moved(self, offset: FloatArray) -> Posture:
        """Return the posture shifted by a vector (3,) in metres."""
        return Posture(self.rotations, self.origins + offset, self.keypoints + offset, self.extra)


def pose_skeleton(skeleton: Skeleton, pose: Pose) -> Posture:
    """Put the skeleton into the pose, the pelvis at its rest height above the origin."""
    local = _local_rotations(pose)
    turned: list[Matrix] = []
    placed: list[tuple[float, float, float]] = []
    rest = skeleton.origins
    offsets = skeleton.offsets
    for index, parent in enumerate(PARENTS):
        if parent < 0:
            turned.append(local[index])
            placed.append(offsets[index])
            continue
        m, (px, py, pz), (x, y, z) = turned[parent], placed[parent], offsets[index]
        turned.append(_times(m, local[index]))
        placed.append((
            px + (m[0] * x + m[1] * y + m[2] * z),
            py + (m[3] * x + m[4] * y + m[5] * z),
            pz + (m[6] * x + m[7] * y + m[8] * z),
        ))  # fmt: skip
    rotations = np.array(turned).reshape(-1, 3, 3)
    origins = np.array(placed)
    bones = np.array(skeleton.keypoint_bones)
    keypoints = origins[bones] + rotate(rotations[bones], skeleton.keypoints - rest[bones])
    return Posture(rotations, origins, keypoints)


Matrix = tuple[float, float, float, float, float, float, float, float, float]  # row by row
_IDENTITY: Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def _times(a: Matrix, b: Matrix) -> Matrix:
    if a is _IDENTITY:
        return b
    if b is _IDENTITY:
        return a
    a0, a1, a2, a3, a4, a5, a6, a7, a8 = a
    b0, b1, b2, b3, b4, b5, b6, b7, b8 = b
    return (
        a0 * b0 + a1 * b3 + a2 * b6, a0 * b1 + a1 * b4 + a2 * b7, a0 * b2 + a1 * b5 + a2 * b8,
        a3 * b0 + a4 * b3 + a5 * b6, a3 * b1 + a4 * b4 + a5 * b7, a3 * b2 + a4 * b5 + a5 * b8,
        a6 * b0 + a7 * b3 + a8 * b6, a6 * b1 + a7 * b4 + a8 * b7, a6 * b2 + a7 * b5 + a8 * b8,
    )  # fmt: skip


def _turns(*steps: tuple[str, float]) -> Matrix:
    """Return the product of rotations about axes by angles in radians, from left to right."""
    out = _IDENTITY
    for axis, angle in steps:
        s, c = sin_cos(angle)
        if axis == "x":
            step: Matrix = (1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c)
        elif axis == "y":
            step = (c, 0.0, s, 0.0, 1.0, 0.0, -s, 0.0, c)
        else:
            step = (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)
        out = _times(out, step)
    return out


def _local_rotations(pose: Pose) -> list[Matrix]:
    local = {name: _IDENTITY for name in BONES}
    local["pelvis"] = _turns(("y", pose.turn), ("x", pose.pitch), ("z", -pose.roll))
    bend, twist, side = pose.spine
    local["spine"] = local["chest"] = _turns(("y", twist / 2), ("x", bend / 2), ("z", -side / 2))
    nod, turn, tilt = pose.head
    local["neck"] = _turns(("y", turn * 0.4), ("x", nod * 0.4), ("z", -tilt * 0.4))
    local["head"] = _turns(("y", turn * 0.6), ("x", nod * 0.6), ("z", -tilt * 0.6))
    for name, sign, arm, hand in (("l", 1.0, pose.arm_l, pose.hand_l), ("r", -1.0, pose.arm_r, pose.hand_r)):
        abduct, flex, twist, elbow = arm
        # The shoulder girdle takes part of a lift above the horizontal.
        girdle = sign * 0.45 * _lift(abduct, flex)
        local[f"clavicle_{name}"] = _turns(("z", girdle))
        local[f"upper_arm_{name}"] = _turns(
            ("z", -girdle), ("x", -flex), ("z", sign * abduct), ("y", -sign * twist)
        )
        wrist, forearm_twist, curl = hand
        local[f"forearm_{name}"] = _turns(("x", -elbow))
        local[f"hand_{name}"] = _turns(("y", -sign * forearm_twist), ("z", -sign * wrist))
        local[f"fingers_{name}"] = _turns(("z", -sign * curl))
    for name, sign, leg in (("l", 1.0, pose.leg_l), ("r", -1.0, pose.leg_r)):
        flex, abduct, twist, knee, ankle = leg
        local[f"thigh_{name}"] = _turns(("x", -flex), ("z", sign * abduct), ("y", sign * twist))
        local[f"shin_{name}"] = _turns(("x", knee))
        local[f"foot_{name}"] = _turns(("x", -ankle))
    return [local[name] for name in BONES]


def _lift(abduct: float, flex: float) -> float:
    """Return how far a raised arm lifts the shoulder girdle: 0 hanging, 1 overhead."""
    return float(smoothstep(0.6, 2.6, max(abs(abduct), flex, 0.75 * (abs(abduct) + max(flex, 0.0)))))
