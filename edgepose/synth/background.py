"""What is behind the people: rooms, streets and open country, as flat surfaces seen by the camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.camera import Camera
from edgepose.synth.lanes import (
    LANE_BYTES,
    Lanes,
    doubled_columns,
    doubled_rows,
    in_lanes,
    lanes_of,
    with_neighbours,
)
from edgepose.synth.numeric import FloatArray, Random, clamp, smoothstep
from edgepose.synth.textures import noise_tile, noise_window

_SIDE = 128
_VARIANTS = 6
_LEVELS = 5
_BAND = 32  # rows
# Where each mip level begins among the texels of a texture; and the end of the last.
_LEVEL_STARTS = np.cumsum([0] + [(_SIDE >> level) ** 2 for level in range(_LEVELS)])

GROUNDS_IN = ("planks", "carpet", "tiles", "concrete", "parquet")
GROUNDS_OUT = ("asphalt", "grass", "paving", "sand", "concrete", "planks")
WALLS_IN = ("plaster", "wallpaper", "brick", "panels", "wall_tiles", "shelf", "curtain")
WALLS_OUT = ("brick", "facade", "concrete", "panels", "hedge", "shutters")


@dataclass(frozen=True, slots=True)
class Background:
    """The picture at half the size, (h, w, 3) uint8, and where the ground is seen: (h, w) bool."""

    pixels: NDArray[np.uint8]
    ground: NDArray[np.bool_]

    def enlarged(self, size_hw: tuple[int, int], left: NDArray[np.uint16] | None = None) -> Lanes:
        """Return the picture at full size (H, W), bilinear; it is out of focus by as much.

        left (h, w), up to 256, is how much of the light is left in the shadows, in 1/256.
        """
        lanes = lanes_of(self.pixels)
        if left is not None:
            lanes *= left
            lanes >>= np.uint64(8)
            lanes &= LANE_BYTES
        height, width = size_hw
        out = np.empty((2 * len(lanes), width), dtype=np.uint64)
        for start in range(0, len(lanes), _BAND):  # bands that stay in the cache
            rows = slice(start, min(start + _BAND, len(lanes)))
            wide = doubled_columns(with_neighbours(lanes, rows))[:, :width]
            wide += in_lanes(2)  # a half of the sixteenths that the rows make
            band = doubled_rows(wide)[2:-2]
            out[2 * start : 2 * rows.stop] = np.right_shift(band, np.uint64(4), out=band)
        return out[:height]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the picture is taken; depth_m is how far away the wall or the last houses are."""

    kind: str
    depth_m: float
    ground: str
    wall: str
    ground_tint: FloatArray
    wall_tint: FloatArray
    sky: tuple[FloatArray, FloatArray]
    side_m: float
    variant: int
    brightness: float


def sample_surroundings(random: Random, subject_depth_m: float) -> Surroundings:
    """Draw the surroundings of people who are about subject_depth_m away."""
    kind = random.choice(("room", "street", "open", "plain", "clutter"), (3.5, 2.5, 2.5, 1.0, 0.8))
    inside = kind in ("room", "plain")

    def tint(spread: float) -> FloatArray:
        grey = random.uniform(0.45, 1.15)
        return np.array([clamp(grey * (1 + random.normal(0, spread)), 0.15, 1.3) for _ in range(3)])

    blue = random.uniform(0.0, 1.0)
    top = np.array([150 + 80 * blue, 120 + 60 * blue, 90 + 90 * (1 - blue)]) * random.uniform(0.6, 1.15)
    low = np.array([210.0, 205.0, 200.0]) * random.uniform(0.75, 1.2)
    return Surroundings(
        kind=kind,
        depth_m=subject_depth_m + (random.uniform(0.7, 4.0) if inside else random.uniform(2.0, 22.0)),
        ground=random.choice(GROUNDS_IN if inside else GROUNDS_OUT),
        wall=random.choice(WALLS_IN if inside else WALLS_OUT),
        ground_tint=tint(0.07),
        wall_tint=tint(0.11),
        sky=(top, low),
        side_m=subject_depth_m * random.uniform(0.3, 0.9) + 0.6,
        variant=random.integer(0, 1 << 20),
        brightness=random.uniform(0.7, 1.1),
    )


def paint_background(random: Random, place: Surroundings, camera: Camera) -> Background:
    """Paint the surroundings as the camera sees them."""
    if place.kind == "clutter":
        return _clutter(random, camera)
    dx, dy, dz = camera.rays(2)
    height, width = dy.shape
    # Distance along the ray (in units of its length) to the floor, the wall and, in rooms, the side walls.
    far = np.float32(1e6)
    down = np.where(dy < -1e-4, np.float32(-camera.height_m) / np.minimum(dy, np.float32(-1e-4)), far)
    ahead = np.where(dz < -1e-4, np.float32(-place.depth_m) / np.minimum(dz, np.float32(-1e-4)), far)
    has_wall = place.kind != "open"
    is_ground = down < ahead if has_wall else down < far
    t = np.where(is_ground, down, ahead)
    x = dx * t
    u = x
    v = np.where(is_ground, dz * t, np.float32(camera.height_m) + dy * t)
    index = np.where(is_ground, np.int32(0), np.int32(1))
    shade = np.where(is_ground, np.float32(1.0), np.float32(0.94))
    if place.kind == "room":
        side = np.float32(place.side_m)
        beside = np.abs(x) > side
        t_side = side / np.maximum(np.abs(dx), np.float32(1e-4))
        t = np.where(beside, t_side, t)
        y_side = np.float32(camera.height_m) + dy * t
        u = np.where(beside, dz * t, u)
        v = np.where(beside, y_side, v)
        index = np.where(beside, np.int32(1), index)
        is_ground = is_ground & ~beside
        shade = np.where(beside, np.float32(0.78), shade)
    scale = np.float32(64.0)  # texels a metre
    footprint = t * (np.float32(2) * scale / np.float32(camera.focal_px))
    level = np.zeros((height, width), dtype=np.uint8)
    for limit in (1.5, 3.0, 6.0, 12.0):
        level += footprint > np.float32(limit)
    ui = np.floor(u * scale + np.float32(4096.0)).astype(np.int32) & (_SIDE - 1)
    vi = np.floor(v * scale + np.float32(4096.0)).astype(np.int32) & (_SIDE - 1)
    start = index * int(_LEVEL_STARTS[-1]) + _LEVEL_STARTS.take(level)
    packed = _texels(place).take(start + ((vi >> level) << (7 - level)) + (ui >> level))
    light = _light_map(random, (height, width), place) * shade
    planes = np.stack([(packed >> np.uint32(8 * channel)).astype(np.uint8) * light for channel in range(3)])
    if place.kind == "open":
        _sky(random, planes, is_ground, dy, place)
    return Background(_pixels(planes), is_ground)


def _pixels(planes: FloatArray) -> NDArray[np.uint8]:
    """Return the pixels (h, w, 3) of planes (3, h, w) of values from 0 on."""
    out = np.empty((*planes.shape[1:], 3), dtype=np.uint8)
    for channel in range(3):
        out[..., channel] = np.minimum(planes[channel], np.float32(255))
    return out


def _light_map(random: Random, size_hw: tuple[int, int], place: Surroundings) -> FloatArray:
    """Return an uneven light over the picture (H, W), float32."""
    height, width = size_hw
    y = (np.arange(height, dtype=np.float32) / np.float32(height))[:, None]
    x = (np.arange(width, dtype=np.float32) / np.float32(width))[None, :]
    slope_x, slope_y = (np.float32(random.normal(0, 0.18)) for _ in range(2))
    cx, cy = np.float32(random.uniform(0, 1)), np.float32(random.uniform(0, 0.8))
    spot = np.float32(random.uniform(-0.25, 0.25))
    fall_x, fall_y = (x - cx) * (x - cx), (y - cy) * (y - cy)
    base = np.float32(place.brightness) + slope_x * (x - np.float32(0.5)) - np.float32(spot) * fall_x
    light = base + (slope_y * (y - np.float32(0.5)) - spot * fall_y)
    out: FloatArray = np.maximum(light, np.float32(0.12))  # a cast of less than 0 differs between CPUs
    return out


def _sky(
    random: Random, planes: FloatArray, is_ground: NDArray[np.bool_], dy: FloatArray, place: Surroundings
) -> None:
    """Put sky, far hills, trees or roofs above the horizon into planes (3, h, w)."""
    width = dy.shape[1]
    rows = np.flatnonzero(~is_ground.all(axis=1))
    if len(rows) == 0:
        return
    last = int(rows[-1]) + 1
    t = np.minimum(np.maximum(dy[:last] * np.float32(2.2), np.float32(0)), np.float32(1))
    top, low = (c.astype(np.float32)[:, None, None] for c in place.sky)
    sky = low + (top - low) * t
    tile = noise_tile()
    step = 256.0 / width
    cloudy = np.float32(random.uniform(0, 40))
    shift = random.integer(0, 255)
    cx = (np.arange(width) * step * 0.8).astype(np.int64) + shift
    cy = (np.arange(last) * step * 2.2).astype(np.int64) + shift
    sky += noise_window(cy, cx) * cloudy
    # The skyline: heights above the horizon as the slope of the ray.
    kind = random.choice(("hills", "trees", "roofs"))
    column = (np.arange(width) * step * (0.5 if kind == "hills" else 1.5)).astype(np.int64) + shift
    profile = tile[random.integer(0, 255)][column & 255]
    if kind == "roofs":
        profile = tile[random.integer(0, 255)][(column // 24 * 37) & 255]
    size = random.uniform(0.02, 0.18)
    line = np.float32(size) * (np.float32(1) + profile * np.float32(0.4 if kind == "hills" else 0.9))
    over = dy[:last] < line[None, :]
    base = {"hills": (120, 125, 110), "trees": (48, 84, 58), "roofs": (120, 122, 130)}[kind]
    colour = np.array(base, dtype=np.float32) * np.float32(random.uniform(0.5, 1.2))
    ry = np.arange(last) * (2 if kind == "trees" else 1)
    rx = np.arange(width) * (2 if kind == "trees" else 1)
    grain = np.float32(1) + noise_window(ry, rx) * np.float32(0.5 if kind == "trees" else 0.12)
    if kind == "roofs":
        windows = ((np.arange(last) // 3) % 2 == 0)[:, None] & ((np.arange(width) // 3) % 2 == 0)[None, :]
        grain = grain * np.where(windows, np.float32(0.75), np.float32(1))
    sky = np.where(over, colour[:, None, None] * grain, sky)
    planes[:, :last] = np.where(is_ground[:last], planes[:, :last], np.maximum(sky, np.float32(0)))


def _clutter(random: Random, camera: Camera) -> Background:
    """Paint a collage of textures with no sense: what the network must ignore."""
    height, width = -(-camera.size_hw[0] // 2), -(-camera.size_hw[1] // 2)
    zoom = random.uniform(0.4, 3.0)
    y = (np.arange(height) * zoom).astype(np.int64)
    x = (np.arange(width) * zoom).astype(np.int64)
    planes = np.empty((3, height, width), dtype=np.float32)
    for channel in range(3):
        a = noise_window(y + random.integer(0, 255), x + random.integer(0, 255))
        planes[channel] = a * np.float32(random.uniform(20, 70)) + np.float32(random.uniform(50, 200))
    for _ in range(random.integer(0, 14)):
        y0, x0 = random.integer(-20, height - 1), random.integer(-20, width - 1)
        h, w = random.integer(8, height // 2 + 8), random.integer(8, width // 2 + 8)
        block = planes[:, max(y0, 0) : y0 + h, max(x0, 0) : x0 + w]
        colour = np.array([random.uniform(10, 245) for _ in range(3)], dtype=np.float32)
        block *= np.float32(0.3)
        block += (colour * np.float32(0.7))[:, None, None]
    return Background(_pixels(np.maximum(planes, np.float32(0))), np.zeros((height, width), dtype=np.bool_))


def _texels(place: Surroundings) -> NDArray[np.uint32]:
    """Return the texels of ground and wall, all mip levels: B, G and R in a byte each, from the lowest on."""
    out = np.empty((2, int(_LEVEL_STARTS[-1])), dtype=np.uint32)
    for row, (kind, tint) in enumerate(((place.ground, place.ground_tint), (place.wall, place.wall_tint))):
        planes = _mips(kind, (place.variant + row * 3) % _VARIANTS)
        b, g, r = np.minimum(planes * tint.astype(np.float32)[:, None], np.float32(255)).astype(np.uint32)
        out[row] = b | g << np.uint32(8) | r << np.uint32(16)
    return out.reshape(-1)


@lru_cache(maxsize=256)
def _mips(kind: str, variant: int) -> FloatArray:
    """Return all levels of a texture one after the other, as planes (3, texels)."""
    t = _texture(kind, variant).astype(np.float32)
    levels = [t.reshape(3, -1)]
    for _ in range(_LEVELS - 1):
        t = ((t[:, ::2, ::2] + t[:, 1::2, ::2]) + (t[:, ::2, 1::2] + t[:, 1::2, 1::2])) * np.float32(0.25)
        levels.append(t.reshape(3, -1))
    return np.concatenate(levels, axis=1)


def _texture(kind: str, variant: int) -> FloatArray:
    """Make a tileable texture of 2 m (128 texels) in its material's colour: planes (3, 128, 128), 0..255."""
    random = Random(variant, f"surface {kind}")
    tile = noise_tile()
    n = np.arange(_SIDE)
    roll = random.integer(0, 255)
    fine = noise_window(n * 6 + roll, n * 6 + roll)
    rough = noise_window(n * 2 + roll, n * 2 + roll)
    colours = {
        "planks": (95, 130, 165), "parquet": (80, 120, 165), "carpet": (120, 110, 120),
        "tiles": (190, 195, 200), "concrete": (160, 163, 165), "asphalt": (92, 92, 92),
        "grass": (58, 120, 92), "paving": (150, 155, 165), "sand": (150, 185, 210),
        "plaster": (205, 212, 218), "wallpaper": (185, 195, 205), "brick": (82, 98, 150),
        "panels": (120, 150, 180), "wall_tiles": (215, 215, 212), "shelf": (70, 95, 120),
        "curtain": (150, 160, 170), "facade": (150, 165, 180), "hedge": (50, 95, 62),
        "shutters": (140, 140, 145),
    }  # fmt: skip
    base = np.array(colours[kind], dtype=np.float32)[:, None, None]
    shade = 1 + 0.05 * fine + 0.05 * rough
    vertical, horizontal = n[:, None], n[None, :]
    count = random.choice((4, 8, 16))
    if kind in ("planks", "panels", "parquet", "shutters"):
        across = vertical if kind in ("shutters",) else horizontal
        board = across * count // _SIDE
        gap = (across * count % _SIDE) < count * 1.2
        tone = np.array([random.uniform(0.82, 1.12) for _ in range(count)])[board]
        length = (
            (vertical + board * 37) % 64 < 1
            if kind in ("planks", "parquet")
            else np.zeros((_SIDE, _SIDE), bool)
        )
        grain = noise_window(n + roll, n * 6)
        shade = (shade + 0.07 * grain) * tone * np.where(gap | length, 0.6, 1.0)
    elif kind in ("tiles", "wall_tiles", "paving"):
        cells = random.choice((2, 4, 8)) * (2 if kind == "wall_tiles" else 1)
        line = ((vertical * cells % _SIDE) < cells * 1.6) | ((horizontal * cells % _SIDE) < cells * 1.6)
        dark = (
            ((vertical * cells // _SIDE) + (horizontal * cells // _SIDE))
            % 2
            * random.choice((0.0, 0.0, 0.55))
        )
        shade = (shade - dark) * np.where(line, random.uniform(0.55, 0.85), 1.0)
    elif kind == "brick":
        row = vertical * 16 // _SIDE
        mortar = ((vertical * 16 % _SIDE) < 20) | (((horizontal + row % 2 * 8) % 16) < 1.2)
        tone = 1 + 0.16 * noise_window(n // 8 * 53, n // 16 * 91)
        bricks: FloatArray = np.where(mortar, np.float32(175), base * (shade * tone))
        return bricks
    elif kind in ("asphalt", "grass", "sand", "carpet", "hedge", "concrete", "plaster"):
        strength = {"asphalt": 0.14, "grass": 0.34, "sand": 0.10, "carpet": 0.12, "hedge": 0.55}.get(
            kind, 0.05
        )
        shade = 1 + strength * fine + (0.10 if kind in ("grass", "sand", "concrete") else 0.03) * rough
    elif kind == "wallpaper":
        stripe = ((horizontal * count // _SIDE) % 2) * random.uniform(0.04, 0.22)
        shade = shade - stripe - 0.08 * (fine > 0.35)
    elif kind == "shelf":
        shelf = (vertical % 32) < 3
        book = np.array([random.integer(0, 12) for _ in range(64)])[
            (horizontal // 3 + vertical // 32 * 17) % 64
        ]
        palette = np.array([[random.uniform(25, 220) for _ in range(3)] for _ in range(13)], dtype=np.float32)
        spines = palette.T[:, book] * np.where((vertical % 32) < 9, np.float32(0.35), np.float32(1))
        return np.where(shelf, base, spines)
    elif kind == "curtain":
        wave = tile[np.full(1, roll), (n * 4) & 255][None, :]
        shade = shade + 0.28 * wave
    elif kind == "facade":
        window = (
            ((vertical % 64) > 18)
            & ((vertical % 64) < 52)
            & ((horizontal % 64) > 14)
            & ((horizontal % 64) < 46)
        )
        frame = ((vertical % 64) == 35) | ((horizontal % 64) == 30)
        glass = np.float32(60) + 40 * smoothstep(-0.4, 0.8, rough) * np.array([1.2, 1.0, 0.9])[:, None, None]
        glass = np.where(frame, np.float32(215), glass)
        return np.where(window, glass, base * shade)
    return np.maximum(base * shade, 0)
