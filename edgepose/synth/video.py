"""Videos of synthetic people: the scene stands, the people move smoothly, each frame is labelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgepose.synth.annotate import label
from edgepose.synth.background import Background, paint_background
from edgepose.synth.camera import Camera
from edgepose.synth.degrade import degrade
from edgepose.synth.motion import Motion, base_pose, in_place, walk
from edgepose.synth.numeric import PI, FloatArray, Random, sin_cos
from edgepose.synth.props import Prop
from edgepose.synth.render import PosedActor, render
from edgepose.synth.scene import (
    MAX_PERSONS,
    Character,
    SyntheticImage,
    View,
    carried_props,
    make_character,
    sample_spot,
    sample_view,
    scatter_props,
    seat_under,
    stand,
)

_MOTION_WEIGHTS = {
    "walk": 3.0, "cross": 2.5, "wave": 1.4, "squat": 1.2, "reach": 1.0, "jack": 0.8, "idle": 1.0, "sit": 0.8
}  # fmt: skip


def render_video(
    seed: int,
    *,
    seconds: float = 10.0,
    fps: float = 30.0,
    size_hw: tuple[int, int] = (480, 640),
    persons: int | tuple[int, int] = (2, 4),
    motion: str | None = None,
    clean: bool = False,
) -> Iterator[SyntheticImage]:
    """Yield the frames of a seed's video; an annotation's identity is the same person in all of them.

    motion is a name in edgepose.synth.motion.MOTIONS and makes everybody move like that. With three persons
    or more at least two cross each other's way.
    """
    random = Random(seed, "video")
    low, high = (persons, persons) if isinstance(persons, int) else persons
    if not 0 <= low <= high <= MAX_PERSONS:
        raise ValueError(f"persons must be between 0 and {MAX_PERSONS}, and in order: {low}-{high}")
    count = random.integer(low, high)
    view = _view(random.child("view"), size_hw)
    spots: list[FloatArray] = []
    cast: list[tuple[Character, Motion]] = []
    props: list[Prop] = []
    for index in range(count):
        own = random.child("person", index)
        character = make_character(own)
        kind = motion or ("cross" if count >= 3 and index < 2 else _draw_motion(own))
        x, z = sample_spot(own.child("spot"), view, spots, count > 6).tolist()
        spots.append(np.array([x, z]))
        cast.append((character, _motion(own.child("motion"), kind, character, x, z, view)))
        if kind == "sit":
            posture = stand(character, cast[-1][1](0.0).pose, x, z)
            props += seat_under(
                own.child("seat"), posture, _mean_turn(cast[-1][1]), character.figure.skeleton.scale
            )
    props += scatter_props(random.child("props"), view, spots, lanes=True)
    background: Background | None = None
    pan, shake = _camera_motion(random.child("pan"))
    for index in range(max(1, round(seconds * fps))):
        time_s = index / fps
        camera = view.camera
        if pan or shake:
            camera = _moved(camera, pan, shake, time_s)
        if background is None or camera is not view.camera:
            background = paint_background(random.child("background"), view.place, camera)
        actors = []
        for character, way in cast:
            state = way(time_s)
            posture = stand(character, state.pose, state.x, state.z)
            actors.append(
                PosedActor(character.figure, character.textures, posture, carried_props(character, posture))
            )
        rendering = render(actors, props, camera, view.light, background)
        image = (
            rendering.image if clean else degrade(rendering.image, view.faults, random.child("noise", index))
        )
        yield SyntheticImage(image, tuple(label(rendering, actors, camera)), rendering.owners, seed)


def _view(random: Random, size_hw: tuple[int, int]) -> View:
    shot = random.choice(("group", "high", "street"), (3, 1.2, 2))
    view = sample_view(random, size_hw, "group" if shot == "street" else shot)
    # Far enough away that people have room to walk.
    room = 1.35 if shot == "street" else 1.0
    faults = replace(view.faults, motion_px=0, blur=min(view.faults.blur, 1), noise=min(view.faults.noise, 6))
    return replace(view, depth_m=view.depth_m * room, faults=faults)


def _draw_motion(random: Random) -> str:
    return random.choice(tuple(_MOTION_WEIGHTS), tuple(_MOTION_WEIGHTS.values()))


def _motion(random: Random, kind: str, character: Character, x: float, z: float, view: View) -> Motion:
    height = character.figure.skeleton.shape.height_m
    half_width = 0.5 * view.camera.size_hw[1] / view.camera.focal_px * -z
    if kind == "cross":  # through the picture from side to side
        return walk(random, 0.0, z, half_width * random.uniform(0.7, 1.25), random.uniform(0.25, 0.5), height)
    if kind == "walk":
        reach = random.uniform(0.4, 0.9) * half_width
        return walk(random, x * 0.5, z, reach, min(random.uniform(0.3, 1.2), -z * 0.3), height)
    turn = random.normal(0.0, 0.6) if random.chance(0.8) else random.uniform(-PI, PI)
    return in_place(random, kind, x, z, turn, base_pose(random, kind, character.figure.skeleton))


def _mean_turn(way: Motion) -> float:
    return way(0.0).pose.turn


def _camera_motion(random: Random) -> tuple[float, float]:
    """Draw how far the camera pans and shakes, in radians; three in four stand still."""
    if random.chance(0.75):
        return 0.0, 0.0
    return random.uniform(0.0, 0.08), random.uniform(0.0, 0.004)


def _moved(camera: Camera, pan: float, shake: float, time_s: float) -> Camera:
    slow, _ = sin_cos(time_s * 0.5)
    a, _ = sin_cos(time_s * 7.1)
    b, _ = sin_cos(time_s * 9.7 + 1.0)
    return replace(camera, yaw=camera.yaw + pan * slow + shake * a, pitch=camera.pitch + shake * b)
