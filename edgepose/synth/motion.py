"""Smooth motions: who is where at a time, and in which pose."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgepose.synth.body import Pose, Skeleton
from edgepose.synth.numeric import PI, Random, clamp, sin_cos
from edgepose.synth.pose import Arm, gait, sample_pose, squat, within_limits

MOTIONS = ("walk", "cross", "wave", "squat", "reach", "jack", "idle", "sit")
_SUBSTEP_S = 1 / 60


@dataclass(frozen=True, slots=True)
class State:
    """Where a person is (metres on the ground) and in which pose, heading included."""

    x: float
    z: float
    pose: Pose


Motion = Callable[[float], State]


def _sine(turns: float) -> float:
    return sin_cos(turns * 2 * PI)[0]


def walk(random: Random, x: float, z: float, reach_m: float, depth_m: float, height_m: float) -> Motion:
    """Walk to and fro along an ellipse around (x, z) with half axes reach_m (across) and depth_m (away).

    The phase of the gait follows the way that the pelvis has gone, so that the feet do not slide.
    """
    speed = random.uniform(0.9, 1.5) * (0.5 + 0.5 * height_m / 1.7)
    stride = clamp(0.30 * speed / height_m * 1.7, 0.2, 0.6)
    step_m = 2 * 0.52 * height_m * sin_cos(stride)[0]
    direction = random.choice((1.0, -1.0))
    at, offset = random.uniform(0, 2 * PI), random.uniform(0, 2 * PI)
    swing = random.uniform(0.25, 0.55)
    look, look_rate = random.uniform(0.0, 0.4), random.uniform(0.05, 0.15)
    angles, gone = [at], [0.0]

    def advance() -> None:
        s, c = sin_cos(angles[-1])
        vx, vz = -reach_m * s, depth_m * c
        length = max(math.sqrt(vx * vx + vz * vz), 1e-3)
        angles.append(angles[-1] + direction * speed * _SUBSTEP_S / length)
        gone.append(gone[-1] + speed * _SUBSTEP_S)

    def state(time_s: float) -> State:
        place = time_s / _SUBSTEP_S
        index = int(place)
        while len(angles) < index + 2:
            advance()
        f = place - index
        angle = angles[index] * (1 - f) + angles[index + 1] * f
        way = gone[index] * (1 - f) + gone[index + 1] * f
        s, c = sin_cos(angle)
        pose = gait(offset + PI * way / step_m, stride, swing)
        heading = _heading(-reach_m * s * direction, depth_m * c * direction)
        pose = replace(pose, turn=heading, head=(0.05, look * _sine(time_s * look_rate), 0.0))
        return State(x + reach_m * c, z + depth_m * s, pose)

    return state


def _heading(vx: float, vz: float) -> float:
    """Return the turn that faces along (vx, vz): the angle from +z towards +x."""
    # atan2 by halving the angle until a series is exact; no C library has a say in it.
    length = math.sqrt(vx * vx + vz * vz)
    s, c = vx / length, vz / length
    factor = 1.0
    for _ in range(5):
        c_half = math.sqrt(max(0.0, (1 + c) / 2))
        s = s / (2 * c_half) if c_half > 1e-9 else 1.0
        c = c_half
        factor *= 2
    t = s / c
    t2 = t * t
    return factor * t * (1 - t2 * (1 / 3 - t2 * (1 / 5 - t2 * (1 / 7 - t2 / 9))))


def in_place(random: Random, kind: str, x: float, z: float, turn: float, base: Pose) -> Motion:
    """Move on the spot: wave, squat, reach, jack (jumping jack), idle or sit; base is the pose at rest."""
    rate = {"wave": 1.4, "squat": 0.38, "reach": 0.3, "jack": 0.75, "idle": 0.12, "sit": 0.15}[kind]
    rate *= random.uniform(0.8, 1.2)
    phase = random.unit()
    left = random.chance(0.5)
    sway_rate, nod_rate = random.uniform(0.1, 0.25), random.uniform(0.07, 0.2)
    depth = random.uniform(0.6, 1.0)
    lift = random.uniform(1.2, 1.7)

    def state(time_s: float) -> State:
        cycle = time_s * rate + phase
        sway, nod = _sine(time_s * sway_rate + phase), _sine(time_s * nod_rate + 2 * phase)
        bend, twist, side = base.spine
        pose = replace(
            base, turn=turn + 0.08 * sway, spine=(bend + 0.03 * nod, twist + 0.05 * sway, side + 0.03 * sway),
            head=(base.head[0] + 0.08 * nod, base.head[1] + 0.25 * sway, base.head[2]),
        )  # fmt: skip
        up = 0.5 - 0.5 * sin_cos(cycle * 2 * PI)[1]
        if kind == "wave":
            arm: Arm = (lift, 0.15, -1.25 + 0.35 * _sine(cycle), 1.1 + 0.3 * _sine(cycle))
            pose = replace(pose, arm_l=arm) if left else replace(pose, arm_r=arm)
        elif kind == "squat":
            low = squat(depth * up)
            arms: Arm = (0.12, 1.35 * up, 0.1, 0.2)
            pose = replace(low, turn=pose.turn, arm_l=arms, arm_r=arms)
        elif kind == "reach":
            arm = (0.25, 2.5 * up, 0.0, 0.35 * (1 - up) + 0.1)
            pose = replace(pose, arm_l=arm) if left else replace(pose, arm_r=arm)
        elif kind == "jack":
            arms = (0.15 + 2.3 * up, 0.05, -0.2 * up, 0.25)
            leg = (0.02, 0.03 + 0.38 * up, 0.15, 0.12 * (1 - up) + 0.04, 0.0)
            pose = replace(pose, arm_l=arms, arm_r=arms, leg_l=leg, leg_r=leg)
        elif kind in ("idle", "sit"):
            a = base.arm_l if left else base.arm_r
            moved = (a[0], a[1] + 0.25 * up, a[2], a[3] + 0.35 * up)
            pose = replace(pose, arm_l=moved) if left else replace(pose, arm_r=moved)
        return State(x, z, within_limits(pose))

    return state


def base_pose(random: Random, kind: str, skeleton: Skeleton) -> Pose:
    """Return the pose from which a motion on the spot starts."""
    pose = sample_pose(random, skeleton, "sit" if kind == "sit" else "stand")[1]
    if kind in ("squat", "jack"):
        return Pose()
    return pose
