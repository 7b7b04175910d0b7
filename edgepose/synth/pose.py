"""Still poses within the joints' limits: standing, walking, sitting, squatting, waving, reaching, ..."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from edgepose.synth.body import BONE, Pose, Posture, Skeleton, pose_skeleton
from edgepose.synth.numeric import PI, Random, clamp, rotate, sin_cos

Arm = tuple[float, float, float, float]
Leg = tuple[float, float, float, float, float]

# Radians: lowest and highest abduct, flex, twist and elbow; flex, abduct, twist, knee and ankle.
ARM_LIMITS = ((-0.35, 2.7), (-0.9, 2.95), (-1.7, 1.4), (0.0, 2.55))
LEG_LIMITS = ((-0.5, 2.1), (-0.3, 1.0), (-0.4, 0.7), (0.0, 2.5), (-0.75, 0.5))
SPINE_LIMITS = ((-0.45, 1.3), (-0.8, 0.8), (-0.5, 0.5))
HEAD_LIMITS = ((-0.7, 0.8), (-1.2, 1.2), (-0.5, 0.5))


def within_limits(pose: Pose) -> Pose:
    """Return the pose with every joint moved into its limits."""

    def fit(values: tuple[float, ...], limits: tuple[tuple[float, float], ...]) -> Any:
        return tuple(clamp(v, low, high) for v, (low, high) in zip(values, limits, strict=True))

    return replace(
        pose,
        arm_l=fit(pose.arm_l, ARM_LIMITS),
        arm_r=fit(pose.arm_r, ARM_LIMITS),
        leg_l=fit(pose.leg_l, LEG_LIMITS),
        leg_r=fit(pose.leg_r, LEG_LIMITS),
        spine=fit(pose.spine, SPINE_LIMITS),
        head=fit(pose.head, HEAD_LIMITS),
    )


def gait(phase: float, stride: float, swing: float, bend: float = 0.25) -> Pose:
    """Return the pose at a phase of a walk; stride is the thigh's swing, swing the arms'; all in radians."""

    def leg(at: float) -> Leg:
        s, c = sin_cos(at)
        s2, _ = sin_cos(at + 0.9)
        flex = stride * s + 0.08
        # The knee bends most while the leg swings forward (c > 0), a little when it takes the weight.
        knee = (
            0.08
            + bend * 0.35 * max(0.0, s)
            + (0.35 + 1.35 * stride) * max(0.0, c) * max(0.0, 0.35 + 0.65 * c)
        )
        ankle = 0.12 * s2 - 0.25 * stride * max(0.0, -s) * 2
        return (flex, 0.02, 0.08, knee, ankle)

    def arm(at: float) -> Arm:
        s, _ = sin_cos(at)
        return (0.12, swing * s, 0.15, 0.25 + 0.25 * swing * (1 + s))

    sway, _ = sin_cos(phase)
    return Pose(
        spine=(0.05, -0.10 * sway * min(1.0, swing * 2), 0.0),
        roll=0.03 * sway,
        leg_l=leg(phase),
        leg_r=leg(phase + PI),
        arm_l=arm(phase + PI),
        arm_r=arm(phase),
    )


def _relaxed_arm(random: Random) -> Arm:
    kind = random.unit()
    if kind < 0.45:  # hanging
        return (
            random.uniform(0.04, 0.3),
            random.normal(0.02, 0.15),
            random.normal(0.2, 0.25),
            random.uniform(0.05, 0.6),
        )
    if kind < 0.6:  # hand on the hip
        return (
            random.uniform(0.55, 0.85),
            random.uniform(-0.35, -0.05),
            random.uniform(0.5, 0.9),
            random.uniform(1.3, 1.7),
        )
    if kind < 0.72:  # in a pocket
        return (
            random.uniform(0.15, 0.35),
            random.uniform(-0.3, -0.1),
            random.uniform(0.1, 0.4),
            random.uniform(0.4, 0.75),
        )
    if kind < 0.88:  # forearm in front: holding something, a phone, folded arms
        return (
            random.uniform(0.05, 0.35),
            random.uniform(0.05, 0.6),
            random.uniform(0.1, 1.0),
            random.uniform(1.1, 2.2),
        )
    return (
        random.uniform(0.1, 0.6),
        random.uniform(0.3, 1.2),
        random.uniform(-0.5, 0.8),
        random.uniform(0.2, 1.6),
    )


def _any_arm(random: Random) -> Arm:
    return (
        random.uniform(-0.1, 2.5), random.uniform(-0.6, 2.2), random.uniform(-1.5, 1.0), random.uniform(0.0,
        2.3)
    )  # fmt: skip


def _standing_leg(random: Random) -> Leg:
    return (
        random.normal(0.02, 0.07),
        random.uniform(0.0, 0.16),
        random.uniform(0.0, 0.35),
        random.uniform(0.0, 0.14),
        0.0,
    )


def _base(random: Random) -> Pose:
    return Pose(
        pitch=random.normal(0.0, 0.03),
        roll=random.normal(0.0, 0.03),
        spine=(random.normal(0.05, 0.09), random.normal(0.0, 0.14), random.normal(0.0, 0.06)),
        head=(random.normal(0.05, 0.18), random.normal(0.0, 0.38), random.normal(0.0, 0.10)),
        hand_l=(random.normal(0.0, 0.25), random.normal(0.2, 0.45), random.uniform(0.05, 0.9)),
        hand_r=(random.normal(0.0, 0.25), random.normal(0.2, 0.45), random.uniform(0.05, 0.9)),
        leg_l=_standing_leg(random),
        leg_r=_standing_leg(random),
        arm_l=_relaxed_arm(random),
        arm_r=_relaxed_arm(random),
    )


def _stand(random: Random) -> Pose:
    pose = _base(random)
    if random.chance(0.3):  # the weight on one leg
        leg = (
            random.uniform(0.1, 0.4),
            random.uniform(0.05, 0.2),
            random.uniform(0.1, 0.4),
            random.uniform(0.25, 0.7),
            0.0,
        )
        pose = replace(pose, leg_l=leg) if random.chance(0.5) else replace(pose, leg_r=leg)
    return pose


def _walk(random: Random) -> Pose:
    step = gait(random.uniform(0, 6.2832), random.uniform(0.25, 0.55), random.uniform(0.15, 0.6))
    base = _base(random)
    pose = replace(base, spine=step.spine, roll=step.roll, leg_l=step.leg_l, leg_r=step.leg_r)
    return pose if random.chance(0.25) else replace(pose, arm_l=step.arm_l, arm_r=step.arm_r)


def _run(random: Random) -> Pose:
    step = gait(random.uniform(0, 6.2832), random.uniform(0.6, 1.0), random.uniform(0.6, 1.0), bend=0.8)
    bent = random.uniform(0.9, 1.5)
    base = _base(random)
    return replace(
        base, pitch=random.uniform(0.08, 0.25), leg_l=step.leg_l, leg_r=step.leg_r,
        arm_l=(0.2, step.arm_l[1], 0.3, bent), arm_r=(0.2, step.arm_r[1], 0.3, bent),
    )  # fmt: skip


def _sit(random: Random) -> Pose:
    flex, knee = random.uniform(1.3, 1.65), random.uniform(1.0, 1.8)

    def leg() -> Leg:
        return (
            flex + random.normal(0, 0.06), random.uniform(0.0, 0.35), random.uniform(0.0, 0.3),
            clamp(knee + random.normal(0, 0.15), 0.3, 2.2), random.normal(0.05, 0.15),
        )  # fmt: skip

    def arm() -> Arm:
        if random.chance(0.35):
            return _relaxed_arm(random)
        return (
            random.uniform(0.05, 0.35),
            random.uniform(0.15, 0.7),
            random.uniform(0.0, 0.7),
            random.uniform(0.4, 1.5),
        )

    lean = random.uniform(-0.3, 0.25)
    base = _base(random)
    return replace(
        base, pitch=lean, roll=0.0, leg_l=leg(), leg_r=leg(), arm_l=arm(), arm_r=arm(),
        spine=(random.uniform(0.0, 0.5), base.spine[1], base.spine[2]),
    )  # fmt: skip


def _at_table(random: Random) -> Pose:
    """Sit with the forearms in front, on a table, or a hand at the face."""

    def arm() -> Arm:
        if random.chance(0.25):  # the head leans on the hand, or something is eaten or drunk
            return (
                random.uniform(0.0, 0.3),
                random.uniform(0.6, 1.3),
                random.uniform(0.2, 0.9),
                random.uniform(1.9, 2.5),
            )
        return (
            random.uniform(0.05, 0.45),
            random.uniform(0.35, 1.0),
            random.uniform(0.2, 1.1),
            random.uniform(0.6, 1.7),
        )

    pose = _sit(random)
    return replace(pose, pitch=random.uniform(-0.1, 0.3), arm_l=arm(), arm_r=arm())


def squat(depth: float, spread: float = 0.25, lean: float = 0.45) -> Pose:
    """Return a squat: depth 0 stands, 1 sits on the heels."""
    leg = (1.95 * depth, spread * depth, 0.1 + 0.3 * depth, 2.15 * depth, 0.22 * depth)
    return Pose(
        pitch=lean * depth,
        spine=(0.25 * depth, 0.0, 0.0),
        head=(-0.4 * depth, 0.0, 0.0),
        leg_l=leg,
        leg_r=leg,
    )


def _squat(random: Random) -> Pose:
    low = squat(random.uniform(0.4, 1.0), random.uniform(0.1, 0.6), random.uniform(0.2, 0.6))
    arm = (
        random.uniform(0.0, 0.4),
        random.uniform(0.3, 1.6),
        random.uniform(0, 0.6),
        random.uniform(0.1, 1.5),
    )
    base = _base(random)
    other = arm if random.chance(0.6) else _relaxed_arm(random)
    return replace(low, head=(base.head[0] - 0.3, base.head[1], base.head[2]), arm_l=arm, arm_r=other, spine=(
        low.spine[0], base.spine[1], base.spine[2]))  # fmt: skip


def _wave(random: Random) -> Pose:
    pose = _stand(random)
    arm = (
        random.uniform(0.9, 1.9),
        random.uniform(0.0, 0.4),
        random.uniform(-1.65, -0.9),
        random.uniform(0.5, 1.7),
    )
    hand = (random.normal(0, 0.3), random.normal(0, 0.3), random.uniform(0.0, 0.25))
    return (
        replace(pose, arm_l=arm, hand_l=hand) if random.chance(0.5) else replace(pose, arm_r=arm, hand_r=hand)
    )


def _reach(random: Random) -> Pose:
    pose = _stand(random)

    def arm() -> Arm:
        return (
            random.uniform(-0.1, 0.8),
            random.uniform(0.8, 2.9),
            random.uniform(-0.4, 0.4),
            random.uniform(0.0, 0.5),
        )

    both = random.chance(0.4)
    left = both or random.chance(0.5)
    pose = replace(pose, spine=(random.uniform(-0.1, 0.5), pose.spine[1], pose.spine[2]))
    if left:
        pose = replace(pose, arm_l=arm())
    return replace(pose, arm_r=arm()) if both or not left else pose


def _arms_up(random: Random) -> Pose:
    def arm() -> Arm:
        return (
            random.uniform(1.5, 2.65),
            random.uniform(-0.1, 0.5),
            random.uniform(-1.2, 0.0),
            random.uniform(0.0, 1.6),
        )

    return replace(_stand(random), arm_l=arm(), arm_r=arm())


def _bend(random: Random) -> Pose:
    pose = _stand(random)
    arm = (random.uniform(0.0, 0.3), random.uniform(0.6, 1.6), 0.0, random.uniform(0.0, 0.9))
    return replace(
        pose, pitch=random.uniform(0.2, 0.8), spine=(random.uniform(0.3, 0.9), pose.spine[1], 0.0), arm_l=arm,
        arm_r=arm if random.chance(0.6) else pose.arm_r,
        leg_l=(random.uniform(0.3, 0.9), 0.08, 0.15, random.uniform(0.1, 0.7), 0.0),
        leg_r=(random.uniform(0.3, 0.9), 0.08, 0.15, random.uniform(0.1, 0.7), 0.0),
    )  # fmt: skip


def _lunge(random: Random) -> Pose:
    front = (random.uniform(0.8, 1.5), random.uniform(0.0, 0.2), 0.1, random.uniform(0.7, 1.6), 0.0)
    back = (random.uniform(-0.45, 0.1), random.uniform(0.0, 0.3), 0.1, random.uniform(0.1, 1.6), -0.3)
    base = replace(_base(random), arm_l=_any_arm(random), arm_r=_relaxed_arm(random))
    if random.chance(0.5):
        return replace(base, leg_l=front, leg_r=back)
    return replace(base, leg_l=back, leg_r=front)


def _sport(random: Random) -> Pose:
    """Anything that the joints allow, with the trunk near the vertical."""

    def leg() -> Leg:
        return (
            random.uniform(-0.4, 1.2), random.uniform(-0.05, 0.6), random.uniform(-0.1, 0.4),
            random.uniform(0, 1.5), random.uniform(-0.4, 0.2),
        )  # fmt: skip

    base = _base(random)
    return replace(
        base, pitch=random.normal(0.1, 0.2), roll=random.normal(0, 0.12),
        spine=(random.uniform(-0.3, 0.7), random.uniform(-0.5, 0.5), random.uniform(-0.3, 0.3)),
        arm_l=_any_arm(random), arm_r=_any_arm(random), leg_l=leg(), leg_r=leg(),
    )  # fmt: skip


POSES: dict[str, tuple[Callable[[Random], Pose], float]] = {
    "stand": (_stand, 4.0), "walk": (_walk, 3.0), "run": (_run, 1.0), "sit": (_sit, 1.6),
    "squat": (_squat, 0.8), "wave": (_wave, 1.2), "reach": (_reach, 1.2), "arms_up": (_arms_up, 0.8),
    "bend": (_bend, 0.6), "lunge": (_lunge, 0.6), "at_table": (_at_table, 0.0), "sport": (_sport, 1.2),
}  # fmt: skip
SITTING = ("sit", "at_table")


def sample_pose(random: Random, skeleton: Skeleton, kind: str | None = None) -> tuple[str, Pose]:
    """Draw a pose and its kind (a name in POSES); arms that would run through the body are drawn again."""
    name = kind or random.choice(tuple(POSES), [weight for _, weight in POSES.values()])
    draw = POSES[name][0]
    pose = within_limits(draw(random))
    for _ in range(8):
        if not _arms_inside(pose_skeleton(skeleton, pose), skeleton):
            break
        pose = within_limits(draw(random))
    return name, pose


def _arms_inside(posture: Posture, skeleton: Skeleton) -> bool:
    """Tell whether an elbow, a wrist or a hand is inside the trunk, the head or a thigh."""
    names = ("forearm_l", "hand_l", "fingers_l", "forearm_r", "hand_r", "fingers_r")
    points = posture.origins[[BONE[name] for name in names]]
    scale = skeleton.scale
    girth = skeleton.shape.girth
    for bone, centre, radii in (
        ("chest", (0.0, 0.10, 0.0), (0.165, 0.22, 0.145)),
        ("pelvis", (0.0, 0.02, 0.0), (0.175, 0.20, 0.15)),
        ("head", (0.0, 0.07, 0.0), (0.095, 0.14, 0.125)),
    ):
        index = BONE[bone]
        local = rotate(posture.rotations[index].T, points - posture.origins[index]) / scale - np.array(centre)
        scaled = local / (np.array(radii) * girth)
        if bool(
            np.any(
                scaled[:, 0] * scaled[:, 0] + scaled[:, 1] * scaled[:, 1] + scaled[:, 2] * scaled[:, 2] < 1
            )
        ):
            return True
    return False


def lowest_point(skeleton: Skeleton, posture: Posture) -> float:
    """Return the height of the lowest point of soles, knees, hands or seat of a posture."""
    k = skeleton.scale
    lowest = float(np.min(posture.origins[:, 1])) - 0.03 * k
    for side in ("_l", "_r"):
        foot = BONE["foot" + side]
        ankle = float(skeleton.origins[foot, 1])
        corners = np.array(
            [[0.0, -ankle, -0.07 * k], [0.0, -ankle, 0.12 * k], [0.0, -ankle + 0.012 * k, 0.18 * k]]
        )
        points = posture.origins[foot] + rotate(posture.rotations[foot], corners)
        lowest = min(lowest, float(np.min(points[:, 1])))
        lowest = min(lowest, float(posture.origins[BONE["shin" + side], 1]) - 0.06 * k)
    return min(lowest, float(posture.origins[BONE["pelvis"], 1]) - 0.13 * k)
