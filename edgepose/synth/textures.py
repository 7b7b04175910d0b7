"""Textures of a person: linear reflectance (B, G, R), one flat table per figure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.head import CHIN, HEAD, TOP
from edgepose.synth.numeric import PI, FloatArray, Random, interpolate, sin_cos_array, smoothstep
from edgepose.synth.outfit import MATERIALS, Outfit, Rgb

SIDE = 128  # texels of a texture's side; the face is twice as wide


GRAINS = ("flat", "grain", "leaf", "weave", "windows", "skin", "strands", "melange", "denim")


@dataclass(frozen=True, slots=True)
class Textures:
    """All textures of a figure, by material.

    texels are the figure's own, planes (3, h, w) float32 one after the other. first (M,) is where a
    material's first texel lies in these, planes is the number of texels from its plane of B to that of G and
    on to R; where planes is 0, the material has one of grain_texels() and first is an index of these. shift
    is log2 of the width; tints (M, 3) multiply the texels.
    """

    texels: tuple[FloatArray, ...]
    first: NDArray[np.int64]
    planes: NDArray[np.int64]
    shift: NDArray[np.int64]
    tints: FloatArray


def linear(colour: Rgb) -> FloatArray:
    """Return the linear reflectance (B, G, R) of an sRGB colour, by a square; black keeps a trace."""
    r, g, b = (c / 255.0 for c in colour)
    squares: FloatArray = np.array([b * b, g * g, r * r], dtype=np.float32)
    squares *= np.float32(0.994)
    squares += np.float32(0.006)
    return squares


@lru_cache(maxsize=1)
def noise_tile() -> FloatArray:
    """Return a tileable cloud (256, 256) float32 with mean near 0 and most values in -1..1."""
    random = Random(0, "noise tile")
    total, amplitude = np.zeros((256, 256)), 1.0
    for octave in range(6):
        cells = 4 << octave
        total = total + _upsampled(random.units(cells * cells).reshape(cells, cells) - 0.5, 256) * amplitude
        amplitude /= 1.55
    return (total * 1.5).astype(np.float32)


def _upsampled(grid: FloatArray, side: int) -> FloatArray:
    cells = grid.shape[0]
    t = np.arange(side) * (cells / side)
    low = np.floor(t).astype(np.int64)
    f = t - low
    f = f * f * (3 - 2 * f)
    high = (low + 1) % cells
    rows = grid[low] * (1 - f)[:, None] + grid[high] * f[:, None]
    out: FloatArray = rows[:, low] * (1 - f) + rows[:, high] * f
    return out


def noise_at(random: Random, rows: int, columns: int, step: int = 1) -> FloatArray:
    """Return a random window (rows, columns) of the noise tile, at every step-th cell; read-only."""
    y, x = random.integer(0, 255), random.integer(0, 255)
    if step == 1 and max(rows, columns) <= 256:
        return _four_tiles()[y : y + rows, x : x + columns]
    return noise_window(np.arange(rows) * step + y, np.arange(columns) * step + x)


@lru_cache(maxsize=1)
def _four_tiles() -> FloatArray:
    tiles = np.tile(noise_tile(), (2, 2))
    tiles.flags.writeable = False  # noise_at gives views of it
    return tiles


def noise_window(y: NDArray[np.integer[Any]], x: NDArray[np.integer[Any]]) -> FloatArray:
    """Return the noise tile, repeated, at rows y (R,) and columns x (C,): (R, C)."""
    return noise_tile().take(y & 255, axis=0).take(x & 255, axis=1)


@lru_cache(maxsize=1)
def grain_texels() -> FloatArray:
    """Return the shared grains one after the other, (len(GRAINS) * 128 * 128,): factors on a colour."""
    tile = noise_tile()
    n = np.arange(SIDE)
    fine, smooth = tile[np.ix_(n * 6 & 255, n * 6 & 255)], tile[np.ix_(n * 2, n * 2)]
    pane = ((n % 32 > 8) & (n % 32 < 25))[:, None] & ((n % 16 > 4) & (n % 16 < 13))[None, :]
    grains = {
        "flat": 1 + 0.05 * smooth,
        "grain": 1 + 0.16 * tile[np.ix_(n * 6 & 255, n * 2)] + 0.06 * smooth,
        "leaf": 1 + 0.75 * fine,
        "weave": 1 + 0.06 * fine + 0.09 * smooth,
        "windows": np.where(pane, 0.35, 1.0) + 0.04 * smooth,
        "skin": 1 + 0.045 * smooth,
        "strands": 1 + 0.35 * tile[np.zeros((SIDE, 1), np.int64), n[None, :] * 6 & 255] + 0.2 * smooth,
        "denim": 1.05 + 0.2 * tile[np.ix_(n * 14 & 255, n * 14 & 255)] + 0.2 * smooth,
        "melange": 1 + 0.22 * tile[np.ix_(n * 14 & 255, n * 14 & 255)] + 0.1 * smooth,
    }
    return np.concatenate([np.maximum(grains[name], 0.05).reshape(-1) for name in GRAINS]).astype(np.float32)


def grain(name: str) -> FloatArray:
    """Return a shared grain (128, 128)."""
    out: FloatArray = grain_texels().reshape(len(GRAINS), SIDE, SIDE)[GRAINS.index(name)]
    return out


def paint(random: Random, outfit: Outfit) -> Textures:
    """Paint all textures of an outfit; what has one colour takes a shared grain."""
    skin = linear(outfit.skin)
    second = outfit.top_second if outfit.sleeve_second else outfit.top_colour
    leg, leg_grain = (skin, "skin") if outfit.leg_colour is None else (linear(outfit.leg_colour), "weave")
    if outfit.shaft > 0 and outfit.shaft_material == "leg" and outfit.leg_hem > 0.7:
        leg, leg_grain = linear((225, 225, 222)), "weave"
    white = np.ones(3, dtype=np.float32)
    pattern = outfit.pattern
    sleeve_pattern = pattern if pattern not in ("logo", "print", "block") else "plain"
    painted: dict[str, tuple[str | FloatArray, FloatArray]] = {
        "skin": ("skin", skin),
        "face": (_face(random, outfit, skin), white),
        "hair": ("strands", linear(outfit.hair)),
        "sleeve": _cloth(
            random, sleeve_pattern, second, outfit.top_second, outfit.pattern_m, (0.0027, 0.0036)
        ),
        "bottom": _cloth(
            random,
            outfit.bottom_pattern,
            outfit.bottom_colour,
            outfit.bottom_second,
            outfit.pattern_m,
            (0.004, 0.004),
        ),
        "leg": (leg_grain, leg),
        "shoe": (_shoe(outfit), white),
        "gear": ("weave", linear(outfit.gear_colour)),
    }
    if outfit.top_kind == "bare":
        painted["top"] = ("skin", skin)
    else:
        cloth = _cloth(
            random, pattern, outfit.top_colour, outfit.top_second, outfit.pattern_m, (0.0074, 0.0051)
        )
        painted["top"] = (_trunk(random, outfit, cloth, skin), white)
    texels, first, planes, shift, total = [], [], [], [], 0
    for name in MATERIALS:
        texture = painted[name][0]
        if isinstance(texture, str):
            first.append(GRAINS.index(texture) * SIDE * SIDE)
            planes.append(0)
            shift.append(7)
            continue
        texels.append(texture)
        first.append(total)
        planes.append(texture[0].size)
        shift.append(8 if texture.shape[2] == 2 * SIDE else 7)
        total += texture.size
    return Textures(
        tuple(texels), np.array(first), np.array(planes), np.array(shift),
        np.stack([painted[name][1] for name in MATERIALS]),
    )  # fmt: skip


def _plane(colour: FloatArray) -> FloatArray:
    """Return a colour as planes of one texel, (3, 1, 1)."""
    return colour[:, None, None]


def _fill(out: FloatArray, where: NDArray[np.bool_], colour: FloatArray) -> None:
    """Give texels of planes (3, h, w) a colour."""
    np.copyto(out, _plane(colour), where=where)


def _shoe(outfit: Outfit) -> FloatArray:
    # u = 0 and 1 lie under the foot, 0.5 on top.
    u = np.abs(np.arange(SIDE) / SIDE - 0.5) * 2
    out = np.empty((3, SIDE, SIDE), dtype=np.float32)
    out[:] = np.where(u > 0.58, _plane(linear(outfit.sole_colour)), _plane(linear(outfit.shoe_colour)))
    if not outfit.barefoot and sum(outfit.sole_colour) > 500:
        laces = ((np.arange(SIDE) // 5) % 2 == 0) & (np.abs(np.arange(SIDE) - 62) < 22)
        out[:, laces[:, None] & (u < 0.11)] = 0.75
    return out


def _cloth(
    random: Random, pattern: str, colour: Rgb, second: Rgb, period_m: float, texel_m: tuple[float, float]
) -> tuple[str | FloatArray, FloatArray]:
    """Return a cloth's grain or texture (3, 128, 128), and its tint."""
    base, other = linear(colour), linear(second)
    if pattern in ("plain", "melange", "denim", "logo", "print", "block"):
        return pattern if pattern in ("melange", "denim") else "weave", base
    u, v = np.arange(SIDE), np.arange(SIDE)
    # Whole numbers of periods around the body, so that the seam does not show.
    count_u = max(1, round(SIDE * texel_m[0] / period_m))
    count_v = max(1, round(SIDE * texel_m[1] / period_m))
    phase_u = (u * count_u / SIDE) % 1.0
    phase_v = (v * count_v / SIDE) % 1.0
    duty = random.uniform(0.25, 0.6)
    mask = np.zeros((SIDE, SIDE), dtype=np.float32)
    if pattern == "stripes":
        mask[phase_v < duty] = 1
    elif pattern == "pinstripes":
        mask[:, phase_u < 0.22] = 0.55
    elif pattern == "checks":
        strength = np.float32(random.uniform(0.3, 0.5))
        mask[phase_v < duty] += strength
        mask[:, phase_u < duty] += strength
    elif pattern == "dots":
        across, down = phase_u - 0.5, phase_v - 0.5
        mask[(across * across)[None, :] + (down * down)[:, None] < 0.09] = 1
    elif pattern == "floral":
        mask[noise_at(random, SIDE, SIDE, 4) > 0.12] = 1
        third = linear((second[2], second[0], second[1]))
        out = _plane(base) + _plane(other - base) * mask
        _fill(out, noise_at(random, SIDE, SIDE, 6) > 0.42, third)
        return out * (1 + 0.06 * noise_at(random, SIDE, SIDE)), np.ones(3, dtype=np.float32)
    weave = 1 + np.float32(0.08) * noise_at(random, SIDE, SIDE)
    return (_plane(base) + _plane(other - base) * mask) * weave, np.ones(3, dtype=np.float32)


def _trunk(
    random: Random, outfit: Outfit, cloth: tuple[str | FloatArray, FloatArray], skin: FloatArray
) -> FloatArray:
    """Add neckline, opening, buttons and folds to the cloth of the trunk (a texel: u about 7.4, v 5.1 mm)."""
    texture, tint = cloth
    out = (grain(texture) if isinstance(texture, str) else texture) * _plane(tint)
    _print(random, outfit, out)
    # u is -0.5..0.5 around, 0 in front.
    u = (np.arange(SIDE, dtype=np.float32) - SIDE / 2)[None, :] / np.float32(SIDE)
    v = np.arange(SIDE, dtype=np.float32)[:, None] * np.float32(0.0051)  # metres below the neck
    folds = noise_at(random, SIDE, SIDE)
    slant = _slanting(random.integer(-3, 3))
    hang = smoothstep(0.15, 0.45, v)
    strength = np.float32(0.05 + 0.16 * outfit.wear)
    out *= 1 + folds * strength + np.float32(0.10 * outfit.wear) * slant * hang
    across = np.abs(u)
    drop = (0.022 + outfit.neckline) * (1 - across / outfit.neck_width)
    open_front = (v < drop) & (across < outfit.neck_width)
    kind = outfit.top_kind
    if kind in ("jacket", "suit") and outfit.neckline > 0.06:
        inner = linear(outfit.top_second if kind == "jacket" else (232, 232, 236))
        width = 0.05 if kind == "suit" else 0.07
        drop = np.where(across < width, 0.05 + outfit.neckline * (1 - across / width), 0)
        if kind == "jacket" and outfit.pattern_m > 0.04:  # worn open all the way down
            drop = np.where(across < width * 0.8, 1.0, drop)
        _fill(out, v < drop, inner)
        if kind == "suit":
            _fill(out, (across < 0.011) & (v > 0.03) & (v < drop), linear(outfit.gear_colour))
        open_front = (v < 0.03) & (across < 0.06)
    _fill(out, open_front, skin)
    if kind in ("shirt", "hoodie", "jacket"):
        below = v > drop + 0.01
        out[:, (across < 0.006) & below] *= np.float32(0.62)
        if kind == "shirt":
            out[:, (across < 0.008) & ((np.arange(SIDE)[:, None] % 18) < 3) & below] = 0.6
    if outfit.straps:  # a tank top: bare beside the straps
        _fill(out, (v < 0.055) & ((across > 0.19) | (across < 0.10)) | (v < drop) & (across < 0.15), skin)
    return out


@lru_cache(maxsize=7)
def _slanting(lean: int) -> FloatArray:
    """Return noise (128, 128) in strokes that lean."""
    n = np.arange(SIDE)
    out: FloatArray = noise_tile()[(n * 2 & 255)[:, None], (n * 5)[None, :] + (n * lean)[:, None] & 255]
    return out


def _print(random: Random, outfit: Outfit, out: FloatArray) -> None:
    """Print a picture or a name on the chest, or give the lower half another colour."""
    second = linear(outfit.top_second)
    if outfit.pattern == "print":
        _fill(out[:, 30:75, 44:84], noise_at(random, 45, 40, 3) > -0.05, second)
    elif outfit.pattern == "logo":
        _fill(out[:, 36:50, 48:80], noise_at(random, 14, 32, 9) > 0.0, second)
    elif outfit.pattern == "block":
        out[:, random.integer(40, 70) :] = _plane(second)


_FACE_VARIANTS = 24


def _face(random: Random, outfit: Outfit, skin: FloatArray) -> FloatArray:
    """Paint the skin of the head: eyes, brows, lips, shading of the nose, beard, glasses, shaved hair."""
    masks = _face_masks(random.integer(0, _FACE_VARIANTS - 1))
    out = np.empty((3, SIDE, 2 * SIDE), dtype=np.float32)
    out[..., :SIDE] = out[..., SIDE:] = grain("skin") * _plane(skin)

    def mix(name: str, colour: FloatArray | float, strength: float = 1.0) -> None:
        (rows, columns), mask = masks[name]
        part = out[:, rows, columns]
        part += mask * np.float32(strength) * (np.asarray(colour, dtype=np.float32).reshape(-1, 1, 1) - part)

    hair = linear(outfit.hair)
    lip = np.minimum(skin * np.array([0.52, 0.46, 0.86], dtype=np.float32), np.float32(1))
    made_up = np.array([0.10, 0.06, 0.42], dtype=np.float32)
    mix("cheeks", skin * np.array([0.75, 0.72, 1.02], dtype=np.float32), 0.6)
    mix("sockets", skin * np.float32(0.62), 0.75)
    mix("nose_sides", skin * np.float32(0.72), 0.5)
    mix("nose_tip", np.minimum(skin * np.float32(1.3), np.float32(1)), 0.5)
    mix("nose_shadow", skin * np.float32(0.5), 0.7)
    mix("nostrils", skin * np.float32(0.18), 0.8)
    mix("lashes", skin * np.float32(0.25), 0.9)
    mix("whites", 0.62)
    mix("irises", linear(random.choice(((60, 40, 28), (40, 28, 22), (84, 110, 130), (88, 96, 60)))))
    mix("pupils", 0.006)
    mix("brows", np.minimum(hair, skin * np.float32(0.5)), 0.85)
    mix("lips", lip * np.float32(1 - 0.5 * outfit.lips) + made_up * np.float32(0.5 * outfit.lips))
    if random.chance(0.2):
        mix("teeth", 0.6)
    else:
        mix("mouth", skin * np.float32(0.12), 0.9)
    if outfit.beard > 0:
        mix("beard", hair, min(1.0, 0.35 + 0.6 * outfit.beard))
    if outfit.glasses != "none":
        if outfit.glasses == "dark":
            mix("lenses", 0.012)
        mix("rims", 0.02, 0.9)
    if outfit.hair_volume == 0:
        mix("scalp", hair, random.uniform(0.0, 0.35))
    return out


Window = tuple[slice, slice]


@lru_cache(maxsize=_FACE_VARIANTS)
def _face_masks(variant: int) -> dict[str, tuple[Window, FloatArray]]:
    """Return where each feature of a face lies in the texture: its window and its mask (h, w) in 0..1.

    The variants differ in the opening of the eyes, the gaze, the brows and the smile.
    """
    random = Random(variant, "face")
    y = TOP - np.arange(SIDE) * ((TOP - CHIN) / (SIDE - 1))
    width = interpolate(y, HEAD[::-1, 0], HEAD[::-1, 1])
    turn = np.arange(2 * SIDE) * (2 * PI / (2 * SIDE))
    sine, cosine = sin_cos_array(turn)
    front = (cosine < 0)[None, :]
    x = np.where(front, sine[None, :] * width[:, None], 1.0)  # metres to the person's left
    yy = y[:, None]
    ax = np.abs(x)

    def spot(x0: float, y0: float, rx: float, ry: float) -> FloatArray:
        rows = np.abs(y - y0) < 1.2 * ry  # beyond, it is 0
        dx, dy = (ax[rows] - x0) / rx, (yy[rows] - y0) / ry
        out = np.zeros_like(ax)
        out[rows] = 1 - smoothstep(0.6, 1.25, dx * dx + dy * dy)
        return out

    opening = random.uniform(0.0038, 0.0062)
    centre = 0.032 + random.normal(0, 0.0018) * np.sign(x)
    offset2 = (ax - centre) * (ax - centre) + (yy - 0.065) * (yy - 0.065)
    arch = (yy - random.uniform(0.081, 0.085)) + (ax - 0.034) * (ax - 0.034) * 9
    smile = np.abs(yy + 0.0045 - random.normal(0.9, 0.8) * ax * ax * 6)
    low = smoothstep(-0.012, 0.012, -yy - 0.004 + ax * 0.75) * (1 - spot(0.0, -0.0055, 0.025, 0.009))
    low = low * (1 - smoothstep(-0.005, 0.03, yy - ax * 0.55)) + spot(0.0, 0.0045, 0.027, 0.004)
    dx, dy = np.abs(ax - 0.033) / 0.026, np.abs(yy - 0.060) / 0.019
    lens = np.maximum(dx, dy) * 0.5 + np.sqrt(dx * dx + dy * dy) * 0.5
    column = np.abs(np.arange(2 * SIDE) - SIDE)[None, :]
    temples = (column > 36) & (column < 70) & (np.abs(yy - 0.064) < 0.0022)
    bridge = (ax < 0.01) & (np.abs(yy - 0.064) < 0.002)
    found = {
        "cheeks": spot(0.036, 0.022, 0.022, 0.018),
        "sockets": spot(0.030, 0.064, 0.022, 0.015),
        "nose_sides": spot(0.013, 0.045, 0.005, 0.022),
        "nose_tip": spot(0.0, 0.029, 0.007, 0.008),
        "nose_shadow": spot(0.0, 0.013, 0.017, 0.006),
        "nostrils": spot(0.0078, 0.0165, 0.0048, 0.0036),
        "lashes": spot(0.032, 0.0655, 0.0135, opening + 0.0018),
        "whites": spot(0.032, 0.0645, 0.0125, opening),
        "irises": (1 - smoothstep(0.6, 1.2, offset2 * (1 / (0.0058 * 0.0058))))
        * spot(0.032, 0.0645, 0.0135, opening),
        "pupils": 1 - smoothstep(0.5, 1.2, offset2 * (1 / (0.0027 * 0.0027))),
        "brows": (1 - smoothstep(0.0022, 0.005, np.abs(arch)))
        * (smoothstep(0.012, 0.018, ax) * (1 - smoothstep(0.046, 0.055, ax))),
        "lips": spot(0.0, -0.0055, 0.0235, 0.0085),
        "teeth": (1 - smoothstep(0.0016, 0.0034, smile)) * (1 - smoothstep(0.012, 0.020, ax)),
        "mouth": (1 - smoothstep(0.0007, 0.0026, smile)) * (1 - smoothstep(0.018, 0.025, ax)),
        "beard": np.where(front, np.minimum(low, 1.0), 0.0),
        "lenses": 1 - smoothstep(0.9, 1.05, lens),
        "rims": np.maximum(1 - smoothstep(0.06, 0.13, np.abs(lens - 1.0)), (temples | bridge) * 1.0),
        "scalp": smoothstep(0.10, 0.13, yy) * np.ones((1, 2 * SIDE)),
    }
    return {name: _cropped(mask) for name, mask in found.items()}


def _cropped(mask: FloatArray) -> tuple[Window, FloatArray]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    return window, mask[window].astype(np.float32)
