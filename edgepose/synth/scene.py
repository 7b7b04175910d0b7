"""Scenes: who stands where, in which surroundings and light, seen by which camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgepose.synth.annotate import PersonLabel, label
from edgepose.synth.background import Surroundings, paint_background, sample_surroundings
from edgepose.synth.body import BONE, Pose, Posture, pose_skeleton, sample_shape
from edgepose.synth.camera import Camera
from edgepose.synth.degrade import Faults, Picture, degrade, sample_faults
from edgepose.synth.figure import Figure, make_figure
from edgepose.synth.numeric import PI, FloatArray, Random, rotate, rotation, sin_cos
from edgepose.synth.outfit import sample_outfit
from edgepose.synth.pose import SITTING, lowest_point, sample_pose
from edgepose.synth.props import Prop, in_front, sample_carried, sample_prop, seat
from edgepose.synth.render import PosedActor, render
from edgepose.synth.shading import Light, sample_light
from edgepose.synth.textures import Textures, paint

MAX_PERSONS = 40
SHOTS = ("group", "close", "wide", "high", "crowd", "portrait", "seated")
# How often someone in a seated shot has a table or a board in front.
_SCREENED = 0.7
_FINGERS_PX_PER_M = 110.0  # below, a finger is thinner than two pixels


@dataclass(frozen=True, slots=True)
class Character:
    """Someone who can be put into scenes: figure, looks and what is carried (bone and solid)."""

    figure: Figure
    textures: Textures
    carried: tuple[str, Prop] | None


@dataclass(frozen=True, slots=True)
class SyntheticImage:
    """A picture (H, W, 3) uint8 B, G, R, its labels, and whose each pixel is (H, W) uint8; 255: nobody's."""

    image: Picture
    annotations: tuple[PersonLabel, ...]
    owners: Picture
    seed: int


@dataclass(frozen=True, slots=True)
class View:
    """Camera, light, surroundings and camera faults of a scene, and the depth of its subject in metres."""

    camera: Camera
    light: Light
    place: Surroundings
    faults: Faults
    depth_m: float
    spread: float


def make_character(random: Random, *, fingers: bool = True) -> Character:
    """Draw a person: build, clothes and textures."""
    shape = sample_shape(random.child("shape"))
    outfit = sample_outfit(random.child("outfit"), shape)
    figure = make_figure(shape, outfit, fingers=fingers)
    return Character(figure, paint(random.child("textures"), outfit), sample_carried(random.child("carried")))


def sample_view(random: Random, size_hw: tuple[int, int], shot: str | None = None) -> View:
    """Draw the camera and the surroundings; `shot` is one of SHOTS; the first four are drawn."""
    height = size_hw[0]
    kind = shot or random.choice(("group", "close", "wide", "high"), (5.0, 2.2, 1.8, 1.0))
    short_px, long_px = min(size_hw), max(size_hw)
    focal = random.uniform(0.75, 1.7) * (0.5 * short_px + 0.5 * long_px)
    tall = {
        "group": (0.45, 0.95), "close": (1.0, 2.4), "wide": (0.14, 0.42), "high": (0.30, 0.60),
        "crowd": (0.35, 0.60), "portrait": (2.0, 5.0),
        "seated": (0.6, 2.4),
    }[kind]  # fmt: skip
    if kind == "portrait":
        focal *= 2
    share = random.uniform(*tall)
    depth = max(focal * 1.68 / (share * height), 0.9)
    pitch = random.uniform(0.35, 0.75) if kind == "high" else random.normal(0.06, 0.09)
    if kind == "crowd":
        pitch = random.uniform(0.05, 0.4)
    aim = random.uniform(1.0, 1.45) if kind == "close" else random.uniform(0.7, 1.05)
    if kind == "seated":  # the eyes of who sits are some 1.2 m above the ground
        aim = random.uniform(0.75, 1.2)
    sine, cosine = sin_cos(pitch)
    camera_height = aim + depth * sine / cosine
    if camera_height < 0.25:
        camera_height = 0.25 + random.uniform(0, 0.4)
        pitch = random.uniform(-0.08, 0.02)
    camera = Camera(camera_height, pitch, random.normal(0, 0.02), focal, size_hw)
    return View(
        camera=camera,
        light=sample_light(random.child("light")),
        place=sample_surroundings(random.child("place"), depth * 1.5 if kind == "wide" else depth * 1.25),
        faults=sample_faults(random.child("faults")),
        depth_m=depth,
        spread={
            "group": 0.5,
            "close": 0.45,
            "wide": 0.9,
            "high": 0.5,
            "crowd": 1.1,
            "portrait": 0.4,
            "seated": 0.6,
        }[kind],
    )


def sample_spot(random: Random, view: View, taken: list[FloatArray], crowd: bool) -> FloatArray:
    """Draw a place on the ground (x, z) in view, not on top of the others."""
    camera = view.camera
    height, width = camera.size_hw
    walled = view.place.kind in ("room", "plain", "street")
    best: tuple[float, FloatArray] | None = None
    for _ in range(16):
        depth = view.depth_m * (1 + view.spread * random.uniform(-0.35, 1.0))
        if walled:
            depth = min(depth, view.place.depth_m - 0.6)
        depth = max(depth, 0.85)
        edge = 0.04 if random.chance(0.15) else 0.14
        x_px = random.uniform(-edge * 0.3, 1.0 + edge * 0.3) if edge < 0.1 else random.uniform(edge, 1 - edge)
        side = (x_px * width - camera.centre[0]) / camera.focal_px
        spot = np.array([side * depth, -depth])
        middle = camera.project(np.array([spot[0], 0.85, spot[1]]))[0][1]
        seen = -0.1 * height < middle < 1.05 * height
        beyond = view.place.kind == "room" and abs(spot[0]) > view.place.side_m - 0.35
        score = 10.0 if seen and not beyond else 0.0
        for other in taken:
            dx, dz = spot[0] - other[0], spot[1] - other[1]
            apart_m = float(np.sqrt(dx * dx + dz * dz))
            # Directions that nearly agree mean that one hides the other.
            angle = abs(spot[0] / spot[1] - other[0] / other[1]) * min(-spot[1], -other[1])
            score = min(score, 0.1 * apart_m if apart_m < 0.6 else min(apart_m, angle * 1.8))
        if best is None or score > best[0]:
            best = (score, spot)
        if score > (0.45 if crowd else 0.75):
            break
    assert best is not None
    return best[1]


def stand(character: Character, pose: Pose, x: float, z: float, floor_y: float = 0.0) -> Posture:
    """Put a character in a pose on the ground at (x, z)."""
    skeleton = character.figure.skeleton
    posture = pose_skeleton(skeleton, pose)
    low = lowest_point(skeleton, posture)
    return posture.moved(np.array([x, floor_y - low, z]))


def carried_props(character: Character, posture: Posture) -> tuple[Prop, ...]:
    """Return what the character carries, where the bone is."""
    if character.carried is None:
        return ()
    name, prop = character.carried
    bone = BONE[name]
    matrix = posture.rotations[bone]
    if float(prop.vertices[:, 1].max()) < -0.1:  # a bag hangs down, whatever the hand does
        matrix = rotation("y", 0.3)
    return (prop.moved(matrix, posture.origins[bone]),)


def raised_to(camera: Camera, posture: Posture, share: float) -> Camera:
    """Return the camera higher or lower, so that it sees the head at this share of the picture from above."""
    (_, y_px), depth = camera.project(posture.origins[BONE["head"]])
    rise_m = (share * camera.size_hw[0] - float(y_px)) * float(depth) / camera.focal_px
    return replace(camera, height_m=camera.height_m + rise_m)


def seat_under(random: Random, posture: Posture, turn: float, scale: float) -> list[Prop]:
    """Return a seat under a sitting person."""
    pelvis = posture.origins[BONE["pelvis"]]
    height = max(float(pelvis[1]) - 0.115 * scale, 0.08)
    behind = rotate(rotation("y", turn), np.array([0.0, 0.0, 0.06]))
    offset = np.array([pelvis[0] + behind[0], 0.0, pelvis[2] + behind[2]])
    return [part.moved(rotation("y", turn), offset) for part in seat(random, height)]


def render_scene(
    seed: int,
    *,
    size_hw: tuple[int, int] = (480, 640),
    persons: int | tuple[int, int] = (1, 4),
    shot: str | None = None,
    pose: str | None = None,
    clean: bool = False,
) -> SyntheticImage:
    """Render the picture of a seed: the same pixels on every machine.

    persons is a number or an inclusive range; more than six make a crowd. shot (one of SHOTS) and pose (a
    name in edgepose.synth.pose.POSES) fix what is otherwise drawn. clean leaves out the camera's faults.
    """
    random = Random(seed, "scene")
    low, high = (persons, persons) if isinstance(persons, int) else persons
    if not 0 <= low <= high <= MAX_PERSONS:
        raise ValueError(f"persons must be between 0 and {MAX_PERSONS}, and in order: {low}-{high}")
    count = random.integer(low, high)
    crowd = count > 6
    view = sample_view(random.child("view"), size_hw, shot or ("crowd" if crowd else None))
    spots: list[FloatArray] = []
    actors: list[PosedActor] = []
    props: list[Prop] = []
    for index in range(count):
        own = random.child("person", index)
        x, z = sample_spot(own.child("spot"), view, spots, crowd).tolist()
        spots.append(np.array([x, z]))
        character = make_character(own, fingers=view.camera.focal_px / -z > _FINGERS_PX_PER_M)
        skeleton = character.figure.skeleton
        asked = pose
        if shot == "seated":
            asked = pose or own.child("kind").choice(SITTING, (1.0, 2.0))
        kind, drawn = sample_pose(own.child("pose"), skeleton, asked)
        turn = _sample_turn(own)
        posture = stand(character, replace(drawn, turn=turn), x, z)
        actors.append(
            PosedActor(character.figure, character.textures, posture, carried_props(character, posture))
        )
        if kind in SITTING:
            props += seat_under(own.child("seat"), posture, turn, skeleton.scale)
        if shot == "seated" and own.child("screened").chance(_SCREENED):
            offset = np.array([x, 0.0, z])
            props += [part.moved(rotation("y", turn), offset) for part in in_front(own.child("front"))]
    props += scatter_props(random.child("props"), view, spots)
    if shot == "portrait" and actors:
        camera = raised_to(view.camera, actors[0].posture, random.child("portrait").uniform(0.2, 0.6))
        view = replace(view, camera=camera)
    background = paint_background(random.child("background"), view.place, view.camera)
    rendering = render(actors, props, view.camera, view.light, background)
    image = rendering.image if clean else degrade(rendering.image, view.faults, random.child("noise"))
    return SyntheticImage(image, tuple(label(rendering, actors, view.camera)), rendering.owners, seed)


def _sample_turn(random: Random) -> float:
    """Draw where a person faces: mostly towards the camera."""
    kind = random.unit()
    if kind < 0.6:
        return random.normal(0.0, 0.55)
    return random.uniform(-PI, PI)


def scatter_props(random: Random, view: View, spots: list[FloatArray], *, lanes: bool = False) -> list[Prop]:
    """Draw things around and in front of people; with lanes, nothing where these walk from side to side."""
    props: list[Prop] = []
    inside = view.place.kind in ("room", "plain")
    for index in range(random.choice((0, 1, 2, 3, 5), (2, 3, 3, 2, 1))):
        own = random.child(index)
        near = own.chance(0.22)
        factor = own.uniform(0.45, 0.85) if near else own.uniform(0.9, 2.0)
        depth = max(view.depth_m * factor, 0.7)
        if inside:
            depth = min(depth, view.place.depth_m - 0.3)
        side = own.uniform(-0.6, 0.6) * view.camera.size_hw[1] / view.camera.focal_px
        x, z = side * depth, -depth
        close = [
            s for s in spots if abs(s[1] - z) < (1.4 if lanes else 0.75) and (lanes or abs(s[0] - x) < 0.75)
        ]
        if close or (near and depth < 1.2):
            continue
        offset = np.array([x, 0.0, z])
        props += [part.moved(np.eye(3), offset) for part in sample_prop(own.child("kind"), inside)]
    return props
