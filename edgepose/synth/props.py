"""Things around people, which also hide parts of them: seats, tables, crates, posts, plants, bags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.numeric import PI, FloatArray, Random, cross, rotate, rotation, sin_cos_array
from edgepose.synth.outfit import Rgb
from edgepose.synth.textures import GRAINS, linear, noise_tile


@dataclass(frozen=True, slots=True)
class Prop:
    """Solids in the world: vertices, normals, colours (V, 3), uv (V, 2), grains (V,), triangles (T, 3).

    grains index edgepose.synth.textures.GRAINS; colours are linear B, G, R.
    """

    vertices: FloatArray
    normals: FloatArray
    uv: FloatArray
    grains: NDArray[np.int64]
    colours: FloatArray
    triangles: NDArray[np.integer[Any]]

    def moved(self, matrix: FloatArray, offset: FloatArray) -> Prop:
        """Return the solids turned by a matrix and shifted."""
        return replace(
            self, vertices=rotate(matrix, self.vertices) + offset, normals=rotate(matrix, self.normals)
        )


def join(props: Sequence[Prop]) -> Prop | None:
    """Return all solids as one; None for none."""
    if not props:
        return None
    starts = np.cumsum([0] + [len(prop.vertices) for prop in props[:-1]])
    return Prop(
        np.concatenate([prop.vertices for prop in props]),
        np.concatenate([prop.normals for prop in props]),
        np.concatenate([prop.uv for prop in props]),
        np.concatenate([prop.grains for prop in props]),
        np.concatenate([prop.colours for prop in props]),
        np.concatenate([prop.triangles + start for prop, start in zip(props, starts.tolist(), strict=True)]),
    )


def _solid(
    vertices: FloatArray, normals: FloatArray, uv: FloatArray, triangles: Any, colour: Rgb, grain: str
) -> Prop:
    count = len(vertices)
    return Prop(
        vertices, normals, uv, np.full(count, GRAINS.index(grain), dtype=np.int64),
        np.repeat(linear(colour)[None], count, axis=0), np.asarray(triangles),
    )  # fmt: skip


# A box: the normals of its faces and their axes across, (6, 1, 3); how far corners lie across and up, (4, 1).
_NORMALS, _ACROSS = np.array([
    ((0, 0, 1), (1, 0, 0)), ((0, 0, -1), (-1, 0, 0)), ((1, 0, 0), (0, 0, -1)), ((-1, 0, 0), (0, 0, 1)),
    ((0, 1, 0), (1, 0, 0)), ((0, -1, 0), (1, 0, 0)),
], dtype=np.float64).transpose(1, 0, 2)[:, :, None]  # fmt: skip
_UP = cross(_NORMALS, _ACROSS)
_RIGHTWARDS, _UPWARDS = np.array([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])[..., None]
_BOX_CORNERS = _NORMALS + _ACROSS * _RIGHTWARDS + _UP * _UPWARDS  # (6, 4, 3)
_BOX_NORMALS = np.repeat(_NORMALS[:, 0], 4, axis=0)
_BOX_TRIANGLES = (np.arange(0, 24, 4)[:, None, None] + np.array([(0, 1, 2), (0, 2, 3)])).reshape(-1, 3)


def box(centre: Any, extent: Any, colour: Rgb, grain: str = "flat") -> Prop:
    """Make a box of full extents (x, y, z) in metres around a centre."""
    half = np.asarray(extent, dtype=np.float64) / 2
    vertices = (_BOX_CORNERS * half).reshape(-1, 3) + np.asarray(centre, dtype=np.float64)
    size_u, size_v = (np.abs(axis * half).max(axis=2) * 2 for axis in (_ACROSS, _UP))
    uv = np.empty((6, 4, 2))
    uv[..., 0] = (_RIGHTWARDS[:, 0] + 1) * size_u * 60.0
    uv[..., 1] = (1 - _UPWARDS[:, 0]) * size_v * 60.0
    return _solid(vertices, _BOX_NORMALS, uv.reshape(-1, 2), _BOX_TRIANGLES, colour, grain)


def lathe(
    centre: Any,
    heights: Any,
    radii: Any,
    colour: Rgb,
    grain: str = "flat",
    *,
    segments: int = 14,
    rough: float = 0.0,
) -> Prop:
    """Make a solid of revolution about a vertical axis; heights descend; rough makes foliage of it."""
    y, r = np.asarray(heights, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    u = np.arange(segments + 1) / segments
    sine, cosine = sin_cos_array(u * (2 * PI))
    bump = np.ones((len(y), segments + 1))
    if rough > 0:
        tile = noise_tile()
        column = (np.arange(segments + 1) % segments) * 29
        bump = bump + rough * tile[(np.arange(len(y)) * 31 + 7)[:, None] & 255, column[None, :] & 255]
    ring = r[:, None] * bump
    x, z = cosine * ring, -sine * ring
    vertices = np.stack([x, np.broadcast_to(y[:, None], x.shape), z], axis=-1)
    slope = np.zeros(len(y))
    slope[1:-1] = (r[2:] - r[:-2]) / np.minimum(y[2:] - y[:-2], -1e-6)
    slope[0], slope[-1] = -2.0, 2.0
    normal_y = np.broadcast_to(-slope[:, None], x.shape)
    scale = 1 / np.sqrt(1 + normal_y * normal_y)
    normals = np.stack([cosine * scale, normal_y * scale, -sine * scale], axis=-1)
    rows, columns = len(y), segments + 1
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(segments)[None, :]).reshape(-1)
    triangles = np.stack(
        [np.stack([a, a + 1, a + columns], 1), np.stack([a + 1, a + columns + 1, a + columns], 1)], 1
    )
    uv = np.stack(
        [np.broadcast_to(u * 128.0, x.shape), np.broadcast_to((y[0] - y)[:, None] * 120.0, x.shape)], axis=-1
    )
    return _solid(
        vertices.reshape(-1, 3) + np.asarray(centre, dtype=np.float64), normals.reshape(-1, 3), uv.reshape(-1,
        2), triangles.reshape(-1, 3)[:, ::-1].copy(), colour, grain,
    )  # fmt: skip


_WOODS: tuple[Rgb, ...] = (
    (150, 108, 70),
    (110, 74, 46),
    (196, 160, 118),
    (84, 60, 44),
    (222, 214, 204),
    (52, 48, 46),
)


def _colour(random: Random) -> Rgb:
    if random.chance(0.45):
        return random.choice(_WOODS)
    grey = random.uniform(20, 230)
    return (grey + random.uniform(-30, 30), grey + random.uniform(-30, 30), grey + random.uniform(-30, 30))


def _clean(colour: Rgb) -> Rgb:
    r, g, b = (min(max(c, 8.0), 245.0) for c in colour)
    return (r, g, b)


def seat(random: Random, height_m: float) -> list[Prop]:
    """Make a chair, bench, stool or block whose top is at height_m, under someone who faces +z."""
    colour = _clean(_colour(random))
    kind = random.choice(("chair", "stool", "block", "bench"), (4, 1.5, 1.5, 1.5))
    width = random.uniform(1.1, 1.8) if kind == "bench" else random.uniform(0.4, 0.5)
    if kind == "block":
        return [box((0, height_m / 2, -0.03), (width + 0.1, height_m, 0.45), colour, "flat")]
    parts = [box((0, height_m - 0.025, -0.02), (width, 0.05, 0.44), colour, "grain")]
    leg = random.uniform(0.03, 0.06)
    for sx in (-1, 1):
        for sz in (-1, 1):
            parts.append(
                box(
                    (sx * (width / 2 - leg), (height_m - 0.05) / 2, -0.02 + sz * 0.19),
                    (leg, height_m - 0.05, leg),
                    colour,
                )
            )
    if kind == "chair" or (kind == "bench" and random.chance(0.6)):
        back = random.uniform(0.3, 0.55)
        parts.append(box((0, height_m + 0.08 + back / 2, -0.24), (width, back, 0.04), colour, "grain"))
        for sx in (-1, 1):
            parts.append(box((sx * (width / 2 - leg), height_m + 0.06, -0.24), (leg, 0.16, 0.03), colour))
    return parts


def _crate(random: Random) -> list[Prop]:
    h = random.uniform(0.25, 1.0)
    size = (random.uniform(0.3, 1.2), h, random.uniform(0.3, 0.8))
    return [box((0, h / 2, 0), size, _clean(_colour(random)), random.choice(("flat", "grain", "weave")))]


def _table(random: Random) -> list[Prop]:
    colour, h, w, d = (
        _clean(_colour(random)),
        random.uniform(0.68, 1.05),
        random.uniform(0.7, 1.8),
        random.uniform(0.6, 0.9),
    )
    parts = [box((0, h, 0), (w, 0.04, d), colour, "grain")]
    if random.chance(0.35):
        parts.append(box((0, h / 2, 0), (w * 0.96, h, d * 0.9), colour, "grain"))
    else:
        for sx in (-1, 1):
            for sz in (-1, 1):
                parts.append(box((sx * (w / 2 - 0.05), h / 2, sz * (d / 2 - 0.05)), (0.06, h, 0.06), colour))
    for _ in range(random.integer(0, 4)):
        s = random.uniform(0.08, 0.3)
        at = (random.uniform(-w / 2, w / 2) * 0.8, h + 0.02 + s / 2, random.uniform(-d / 3, d / 3))
        parts.append(box(at, (random.uniform(0.06, 0.35), s, 0.12), _clean(_colour(random))))
    return parts


def in_front(random: Random) -> list[Prop]:
    """Make what someone sits at, who is at the origin and faces +z: a table, or a board as of a stand."""
    if random.chance(0.65):
        ahead = np.array([random.uniform(-0.3, 0.3), 0.0, random.uniform(0.62, 0.85)])
        return [part.moved(np.eye(3), ahead) for part in _table(random)]
    h, w = random.uniform(0.5, 1.05), random.uniform(0.8, 4.0)
    at = (random.uniform(-0.4, 0.4), h / 2, random.uniform(0.6, 0.9))
    return [box(at, (w, h, random.uniform(0.04, 0.2)), _clean(_colour(random)), random.choice(GRAINS[:5]))]


def _post(random: Random) -> list[Prop]:
    h, r = random.uniform(0.8, 4.5), random.uniform(0.03, 0.16)
    return [lathe((0, 0, 0), (h, h - 0.01, h / 2, 0.1, 0.0), (0.001, r, r, r, r), _clean(_colour(random)))]


def _plant(random: Random) -> list[Prop]:
    green = (random.uniform(40, 90), random.uniform(85, 140), random.uniform(30, 70))
    h, r = random.uniform(0.5, 1.3), random.uniform(0.2, 0.5)
    pot = lathe((0, 0, 0), (0.34, 0.33, 0.15, 0.0), (0.05, 0.17, 0.15, 0.12), _clean(_colour(random)))
    t = np.array([1.0, 0.95, 0.75, 0.5, 0.25, 0.05, 0.0])
    bush = lathe(
        (0, 0.3, 0), t * h, np.array([0.02, 0.4, 0.8, 1.0, 0.85, 0.4, 0.02]) * r, green, "leaf", rough=0.5
    )
    return [pot, bush]


def _tree(random: Random) -> list[Prop]:
    green = (random.uniform(40, 100), random.uniform(80, 130), random.uniform(25, 60))
    trunk, crown, r = random.uniform(1.5, 3.0), random.uniform(1.5, 4.0), random.uniform(0.8, 2.0)
    stem = lathe((0, 0, 0), (trunk + 1, trunk, 0.5, 0.0), (0.05, 0.12, 0.15, 0.2), (96, 78, 60), "grain")
    t = np.array([1.0, 0.95, 0.75, 0.5, 0.25, 0.05, 0.0])
    leaves = lathe(
        (0, trunk, 0),
        t * crown,
        np.array([0.02, 0.45, 0.85, 1.0, 0.9, 0.5, 0.02]) * r,
        green,
        "leaf",
        segments=20,
        rough=0.45,
    )
    return [stem, leaves]


def _ball(random: Random) -> list[Prop]:
    r = random.uniform(0.1, 0.35)
    t = np.array([1.0, 0.97, 0.8, 0.4, 0.0, -0.4, -0.8, -0.97, -1.0])
    radii = np.sqrt(np.maximum(1 - t * t, 0.0)) * r + 0.001
    return [lathe((0, r, 0), t * r, radii, _clean(_colour(random)))]


def _panel(random: Random) -> list[Prop]:
    h, w = random.uniform(0.9, 2.2), random.uniform(0.5, 2.2)
    return [box((0, h / 2, 0), (w, h, 0.05), _clean(_colour(random)), random.choice(GRAINS[:5]))]


def _bin(random: Random) -> list[Prop]:
    h, r = random.uniform(0.5, 1.1), random.uniform(0.18, 0.32)
    colour = _clean(_colour(random))
    rim = lathe((0, 0, 0), (h + 0.05, h + 0.04, h, h - 0.02), (0.02, r * 1.06, r * 1.08, r), colour)
    return [lathe((0, 0, 0), (h, h - 0.01, 0.02, 0.0), (0.01, r, r * 0.85, r * 0.84), colour), rim]


def _low_wall(random: Random) -> list[Prop]:
    h, w = random.uniform(0.35, 0.9), random.uniform(1.5, 4.5)
    if random.chance(0.5):  # a hedge
        green = (random.uniform(40, 90), random.uniform(85, 130), random.uniform(30, 70))
        return [box((0, h / 2, 0), (w, h, 0.5), green, "leaf")]
    return [box((0, h / 2, 0), (w, h, 0.3), _clean(_colour(random)), "weave")]


PROPS: dict[str, tuple[Callable[[Random], list[Prop]], float]] = {
    "crate": (_crate, 2.0), "table": (_table, 2.0), "post": (_post, 1.2), "plant": (_plant, 1.3),
    "ball": (_ball, 0.8), "panel": (_panel, 1.0), "tree": (_tree, 1.2), "bin": (_bin, 1.0),
    "low_wall": (_low_wall, 1.0), "seat": (lambda r: seat(r, 0.45), 1.2),
}  # fmt: skip
INDOORS = ("crate", "table", "post", "plant", "ball", "panel", "seat", "bin")


def sample_prop(random: Random, inside: bool) -> list[Prop]:
    """Draw a thing that stands at the origin, turned at random."""
    names = INDOORS if inside else tuple(PROPS)
    name = random.choice(names, [PROPS[n][1] for n in names])
    turned = rotation("y", random.uniform(0, 2 * PI))
    return [part.moved(turned, np.zeros(3)) for part in PROPS[name][0](random)]


def sample_carried(random: Random) -> tuple[str, Prop] | None:
    """Draw something that a person carries, in the axes of the bone named, or None."""
    kind = random.choice(("none", "bag", "backpack", "phone", "box"), (5, 1.2, 0.9, 0.8, 0.5))
    side = random.choice(("l", "r"))
    colour = _clean(_colour(random))
    if kind == "bag":
        h = random.uniform(0.2, 0.36)
        return f"hand_{side}", box(
            (0, -0.13 - h / 2, 0), (0.1, h, random.uniform(0.22, 0.38)), colour, "weave"
        )
    if kind == "backpack":
        return "chest", box((0, 0.02, -0.185), (0.28, random.uniform(0.36, 0.48), 0.16), colour, "weave")
    if kind == "phone":
        return f"hand_{side}", box(
            (-0.02 if side == "l" else 0.02, -0.10, 0.03), (0.01, 0.14, 0.07), (24, 24, 28)
        )
    if kind == "box":
        s = random.uniform(0.1, 0.25)
        return f"hand_{side}", box((0, -0.1, 0.04), (s, s, s), colour)
    return None
