"""Where to draw the joints of a known set of keypoints: a person, hands, a face, an animal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing: its title, its width and height, and the place of each joint by index."""

    title: str
    width: float
    height: float
    places: Mapping[int, Place]


# A person faces the reader: the left side is on the right. Only left and middle are listed.
_BODY: dict[str, Place] = {
    "nose": (50, 24), "left_eye": (55, 18), "left_ear": (63, 21), "left_shoulder": (70, 46),
    "left_elbow": (83, 74), "left_wrist": (89, 101), "left_hip": (62, 104), "left_knee": (65, 144),
    "left_ankle": (67, 182), "head": (50, 5), "top_head": (50, 5), "neck": (50, 42), "hip": (50, 104),
    "left_big_toe": (75, 196), "left_small_toe": (84, 193), "left_heel": (61, 192),
}  # fmt: skip
# The animals of AP-10K, from their left side.
_ANIMAL: dict[str, Place] = {
    "L_Eye": (24, 26), "R_Eye": (15, 28), "Nose": (7, 40), "Neck": (42, 42), "Root of tail": (128, 40),
    "L_Shoulder": (52, 64), "L_Elbow": (50, 84), "L_F_Paw": (52, 108),
    "R_Shoulder": (42, 60), "R_Elbow": (36, 80), "R_F_Paw": (36, 104),
    "L_Hip": (120, 64), "L_Knee": (124, 86), "L_B_Paw": (120, 108),
    "R_Hip": (110, 60), "R_Knee": (110, 82), "R_B_Paw": (104, 104),
}  # fmt: skip
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_MIN_PLACED = 5


def panels_of(names: Sequence[str]) -> tuple[Panel, ...] | None:
    """Return the drawings that show every joint of these names, or None where some have no known place."""
    index = {name: number for number, name in enumerate(names)}
    if len(index) < _MIN_PLACED:
        return None
    panels = []
    body = _placed(index, _mirrored(_BODY))
    if body:
        panels.append(Panel("body, seen from the front", 100, 200, body))
    animal = _placed(index, _ANIMAL)
    if animal and not body:
        panels.append(Panel("animal, seen from its left", 140, 116, animal))
    face = _placed(index, {f"face-{n}": place for n, place in enumerate(_face())})
    if face:
        panels.append(Panel("face", 100, 100, face))
    for prefix, root, title in (
        ("", "wrist", "hand"),
        ("right_", "right_hand_root", "right hand"),
        ("left_", "left_hand_root", "left hand"),
    ):
        hand = _placed(index, _hand(prefix, root, mirrored=prefix == "left_"))
        if len(hand) > 1:
            panels.append(Panel(title, 100, 110, hand))
    shown = {joint for panel in panels for joint in panel.places}
    return tuple(panels) if len(shown) == len(names) else None


def _placed(index: Mapping[str, int], places: Mapping[str, Place]) -> dict[int, Place]:
    return {index[name]: place for name, place in places.items() if name in index}


def _mirrored(places: Mapping[str, Place]) -> dict[str, Place]:
    right = {
        n.replace("left_", "right_"): (100 - x, y) for n, (x, y) in places.items() if n.startswith("left_")
    }
    return {**places, **right}


def _hand(prefix: str, root: str, *, mirrored: bool) -> dict[str, Place]:
    """An open hand with its palm to the reader; the thumb of a right hand is then on the left."""
    places = {root: (55.0, 102.0)}
    bases = ((30.0, 82.0), (40.0, 56.0), (54.0, 52.0), (67.0, 56.0), (79.0, 64.0))
    for finger, (x, y), angle, step in zip(
        _FINGERS, bases, (-48, -14, 0, 11, 24), (13, 14.5, 15.5, 14, 11), strict=True
    ):
        for joint in range(4):
            shift = joint * step
            places[f"{prefix}{finger}{joint + 1}"] = (
                x + shift * math.sin(math.radians(angle)),
                y - shift * math.cos(math.radians(angle)),
            )
    return {name: (100 - x, y) for name, (x, y) in places.items()} if mirrored else places


def _face() -> list[Place]:
    """The 68 points of iBUG in their order; the person's right is on the left."""
    jaw = [_ellipse(50, 36, 42, 58, 180 + 180 * n / 16) for n in range(17)]
    brows = [(12 + 7 * n, 22 - 6 * math.sin(math.pi * (n + 1) / 6)) for n in range(5)]
    brows += [(100 - x, y) for x, y in reversed(brows)]
    nose = [(50.0, 32.0 + 7 * n) for n in range(4)] + [(40.0 + 5 * n, 59 + 3 * (n % 4 > 0)) for n in range(5)]
    right_eye = [_ellipse(29, 33, 9, 5, 180 - 60 * n) for n in range(6)]
    left_eye = [_ellipse(71, 33, 9, 5, 180 - 60 * n) for n in range(6)]
    outer = [_ellipse(50, 75, 19, 8, 180 - 30 * n) for n in range(12)]
    inner = [_ellipse(50, 75, 13, 3.5, 180 - 45 * n) for n in range(8)]
    return [*jaw, *brows, *nose, *right_eye, *left_eye, *outer, *inner]


def _ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float) -> Place:
    angle = math.radians(degrees)
    return x + radius_x * math.cos(angle), y - radius_y * math.sin(angle)
