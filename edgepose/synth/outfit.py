"""What a person wears and looks like: cut of the clothes, hair, and the colours that textures.py paints."""

from __future__ import annotations

from dataclasses import dataclass

from edgepose.synth.body import BodyShape
from edgepose.synth.numeric import Random, clamp

MATERIALS = ("skin", "face", "hair", "top", "sleeve", "bottom", "leg", "shoe", "gear")
MATERIAL = {name: index for index, name in enumerate(MATERIALS)}

Rgb = tuple[float, float, float]  # sRGB, 0..255

SKIN: tuple[Rgb, ...] = (
    (244, 208, 187), (236, 192, 166), (226, 178, 148), (212, 160, 128), (198, 142, 110), (176, 120, 88),
    (152, 98, 68), (124, 78, 54), (98, 62, 44), (76, 48, 36),
)  # fmt: skip
HAIR: tuple[Rgb, ...] = (
    (24, 20, 20), (38, 28, 24), (58, 40, 30), (86, 58, 38), (122, 84, 52), (168, 126, 78), (206, 172, 116),
    (150, 74, 42), (128, 126, 124), (204, 202, 198),
)  # fmt: skip
_HAIR_WEIGHTS = (4, 4, 3, 2.5, 1.5, 1, 1, 0.5, 0.8, 0.5)
CLOTH: tuple[Rgb, ...] = (
    (32, 34, 40), (58, 60, 66), (104, 106, 110), (160, 162, 164), (222, 220, 214), (242, 240, 236),
    (36, 48, 84), (52, 84, 140), (98, 140, 190), (150, 186, 214), (128, 32, 38), (184, 48, 44),
    (214, 108, 96), (218, 130, 50), (226, 188, 76), (238, 222, 160), (48, 82, 54), (84, 128, 72),
    (152, 176, 120), (64, 120, 120), (88, 58, 44), (134, 102, 72), (190, 160, 122), (94, 60, 112),
    (158, 122, 176), (224, 170, 186), (206, 74, 128),
)  # fmt: skip
DENIM: tuple[Rgb, ...] = ((44, 56, 84), (62, 80, 114), (88, 110, 144), (126, 148, 176), (38, 40, 48))
TROUSERS: tuple[Rgb, ...] = (
    (30, 31, 36), (48, 50, 56), (72, 74, 80), (108, 104, 98), (164, 146, 116), (188, 174, 148), (86, 72, 54),
    (58, 66, 50), (36, 42, 62), (212, 208, 200),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outfit:
    """The cut (metres of a 1.75 m body), the colours and the patterns of one person's looks."""

    skin: Rgb
    hair: Rgb
    hair_volume: float = 0.10  # of the head's radius; 0 is bald
    hair_length: float = 0.0  # below the head joint
    hair_tufts: float = 0.5
    hairline: float = 0.128
    bun: float = 0.0
    bun_height: float = 0.15
    tail: float = 0.0
    headgear: str = "none"
    beard: float = 0.0
    glasses: str = "none"
    lips: float = 0.3
    top_kind: str = "tee"
    top_colour: Rgb = (200, 60, 60)
    top_second: Rgb = (240, 240, 240)
    pattern: str = "plain"
    pattern_m: float = 0.04
    sleeve: float = 0.2  # from the shoulder along the arm
    sleeve_ease: float = 0.01
    sleeve_flare: float = 1.0
    sleeve_second: bool = False
    straps: bool = False
    neckline: float = 0.03  # how far the neckline falls in front
    neck_width: float = 0.2
    collar: float = 0.0
    top_hem: float = 0.90
    top_ease: float = 0.012
    top_flare: float = 0.01
    top_hang: float = 0.94
    bottom_colour: Rgb = (60, 70, 100)
    bottom_second: Rgb = (60, 70, 100)
    bottom_pattern: str = "plain"
    bottom_ease: float = 0.012
    bottom_flare: float = 0.0
    leg_hem: float = 0.86  # down the leg; 0 with a skirt
    leg_colour: Rgb | None = None  # tights; None is bare skin
    skirt_hem: float | None = None
    skirt_is_bottom: bool = True
    skirt_flare: float = 0.08
    skirt_folds: int = 9
    skirt_ripple: float = 0.5
    shoe_colour: Rgb = (40, 40, 44)
    sole_colour: Rgb = (230, 230, 228)
    barefoot: bool = False
    shaft: float = 0.0  # socks or boots up to this height
    shaft_ease: float = 0.004
    shaft_material: str = "leg"
    gear_colour: Rgb = (40, 50, 70)
    wear: float = 0.5  # strength of folds and stains


def _shade(random: Random, colour: Rgb, spread: float = 14.0) -> Rgb:
    grey = random.normal(0, spread)
    r, g, b = (clamp(c + grey + random.normal(0, spread * 0.4), 6, 250) for c in colour)
    return (r, g, b)


def _cloth(random: Random) -> Rgb:
    if random.chance(0.12):  # any colour at all
        return (random.uniform(10, 245), random.uniform(10, 245), random.uniform(10, 245))
    return _shade(random, random.choice(CLOTH))


def _trousers(random: Random) -> Rgb:
    kind = random.unit()
    if kind < 0.42:
        return _shade(random, random.choice(DENIM), 9)
    return _shade(random, random.choice(TROUSERS), 9) if kind < 0.88 else _cloth(random)


_PATTERNS = (
    "plain",
    "stripes",
    "pinstripes",
    "checks",
    "dots",
    "print",
    "logo",
    "block",
    "melange",
    "floral",
)
_PATTERN_WEIGHTS = (6.0, 1.3, 0.7, 1.3, 0.4, 0.7, 1.6, 0.9, 1.5, 0.7)


def sample_outfit(random: Random, shape: BodyShape) -> Outfit:
    """Draw skin, hair and clothes."""
    feminine = shape.bust > 0 or (shape.height_m < 1.5 and random.chance(0.5))
    tone = random.choice(SKIN, (3, 4, 4, 3.5, 3, 2.2, 2, 1.8, 1.4, 0.9))
    parts: dict[str, object] = {"skin": _shade(random, tone, 5)}
    parts.update(_hair(random, feminine, sum(tone) < 330, shape.height_m < 1.5))
    parts.update(_top(random, feminine))
    parts.update(_bottom(random, feminine))
    parts.update(_shoes(random, parts))
    return Outfit(**parts)  # type: ignore[arg-type]


def _hair(random: Random, feminine: bool, dark: bool, child: bool) -> dict[str, object]:
    colour = random.choice(HAIR[:4] if dark else HAIR, _HAIR_WEIGHTS[:4] if dark else _HAIR_WEIGHTS)
    style = random.choice(
        ("long", "bob", "tied", "tail", "short", "afro")
        if feminine
        else ("short", "crop", "bald", "bob", "afro"),
        (3.5, 2, 1.6, 2.2, 1, 0.5) if feminine else (5, 3, 0.3 if child else 1.2, 0.6, 0.5),
    )
    out: dict[str, object] = {
        "hair": _shade(random, colour, 6),
        "hairline": random.uniform(0.118, 0.14),
        "hair_tufts": random.uniform(0.2, 1.6),
        "headgear": random.choice(("none", "cap", "beanie", "hat", "helmet"), (17, 1.4, 0.8, 0.7, 0.5)),
        "gear_colour": _cloth(random),
        "glasses": random.choice(("none", "clear", "dark"), (8, 1.4, 0.9)),
        "lips": random.uniform(0.4, 1.0) if feminine else random.uniform(0.1, 0.4),
        "beard": 0.0 if feminine or child or random.chance(0.6) else random.uniform(0.25, 1.0),
    }
    volume = {"long": 0.14, "bob": 0.16, "tied": 0.08, "tail": 0.08, "short": 0.12, "crop": 0.05, "bald": 0.0}
    out["hair_volume"] = (
        random.uniform(0.38, 0.62) if style == "afro" else volume[style] * random.uniform(0.8, 1.35)
    )
    if out["headgear"] != "none":
        out["hair_volume"] = min(float(out["hair_volume"]), 0.07)  # type: ignore[arg-type]
    if style == "long":
        out["hair_length"] = random.uniform(0.12, 0.34)
    elif style == "bob":
        out["hair_length"] = random.uniform(0.05, 0.10)
    elif style == "tied":
        out["bun"] = random.uniform(0.032, 0.055)
        out["bun_height"] = random.uniform(0.08, 0.18)
    elif style == "tail":
        out["tail"] = random.uniform(0.16, 0.36)
    return out


def _top(random: Random, feminine: bool) -> dict[str, object]:
    kind = random.choice(
        ("tee", "shirt", "hoodie", "jacket", "tank", "suit", "bare"),
        (5, 3, 2, 2.6, 1.4, 1.0, 0.05 if feminine else 0.45),
    )
    colour = _cloth(random)
    out: dict[str, object] = {
        "top_kind": kind,
        "top_colour": colour,
        "top_second": _cloth(random),
        "pattern": random.choice(_PATTERNS, _PATTERN_WEIGHTS),
        "pattern_m": random.uniform(0.018, 0.075),
        "wear": random.uniform(0.3, 1.0),
        "top_hem": random.choice((1.0, random.uniform(0.86, 0.95)), (0.4, 0.6)),
        "top_flare": random.uniform(0.0, 0.03),
        "neck_width": random.uniform(0.13, 0.24),
    }
    loose = random.uniform(0.003, 0.028)
    ease, sleeve = loose, random.uniform(0.14, 0.27)
    neckline, collar = random.uniform(0.0, 0.05), 0.0
    if feminine and random.chance(0.4):
        neckline = random.uniform(0.05, 0.12)
    if kind == "shirt":
        sleeve, collar = random.choice((0.56, random.uniform(0.2, 0.45)), (0.65, 0.35)), 0.03
        neckline = random.uniform(0.0, 0.10)
    elif kind == "tee" and random.chance(0.35):
        sleeve = random.uniform(0.40, 0.56)
    elif kind in ("hoodie", "jacket", "suit"):
        sleeve, ease = random.uniform(0.53, 0.575), loose + (0.006 if kind == "suit" else 0.016)
        collar = {"hoodie": 0.035, "jacket": 0.045, "suit": 0.03}[kind]
        neckline = {"hoodie": 0.02, "jacket": random.uniform(0.0, 0.2), "suit": random.uniform(0.16, 0.3)}[
            kind
        ]
        out["top_hem"] = random.uniform(0.84, 0.93)
        if kind == "suit":
            out["top_colour"] = _shade(random, random.choice(CLOTH[:3] + CLOTH[6:7] + CLOTH[20:22]), 6)
            out["pattern"] = random.choice(("plain", "pinstripes"), (4, 1))
    elif kind in ("tank", "bare"):
        sleeve, neckline = 0.0, random.uniform(0.05, 0.11)
        out["straps"] = kind == "tank"
        ease = loose * 0.4
    out.update(
        sleeve=sleeve, top_ease=ease, neckline=neckline, collar=collar, sleeve_ease=ease * random.uniform(0.6,
        1.1), sleeve_flare=random.uniform(-0.6, 1.8) if sleeve < 0.45 else random.uniform(-0.7, 0.5),
        sleeve_second=random.chance(0.12), top_hang=random.uniform(0.90, 0.985),
    )  # fmt: skip
    return out


def _bottom(random: Random, feminine: bool) -> dict[str, object]:
    kind = random.choice(
        ("trousers", "shorts", "leggings", "skirt", "dress", "coat"),
        (4.5, 1.8, 2.2, 1.6, 1.8, 0.5) if feminine else (6.5, 2.4, 0.3, 0.0, 0.0, 0.5),
    )
    colour = _trousers(random)
    out: dict[str, object] = {
        "bottom_colour": colour,
        "bottom_second": _cloth(random),
        "bottom_pattern": "denim"
        if colour[2] > colour[0] + 14
        else random.choice(("plain", "melange"), (3, 1)),
        "bottom_ease": random.uniform(0.006, 0.030),
        "bottom_flare": random.uniform(-0.012, 0.03),
        "leg_hem": random.choice((0.875, random.uniform(0.75, 0.87)), (0.7, 0.3)),
    }
    if kind == "shorts":
        out["leg_hem"] = random.uniform(0.28, 0.56)
        out["bottom_colour"] = _cloth(random) if random.chance(0.5) else colour
        out["bottom_flare"] = random.uniform(0.0, 0.025)
    elif kind == "leggings":
        out.update(bottom_ease=0.0015, bottom_flare=0.0, leg_hem=random.choice((0.86, 0.55), (4, 1)))
    elif kind in ("skirt", "dress"):
        out.update(
            leg_hem=0.0, skirt_hem=random.uniform(0.34, 0.72), skirt_flare=random.uniform(0.01, 0.17),
            skirt_folds=random.integer(5, 13), skirt_ripple=random.uniform(0.1, 1.0),
            skirt_is_bottom=kind == "skirt",
        )  # fmt: skip
        if kind == "skirt":
            out.update(
                bottom_colour=_cloth(random), bottom_pattern=random.choice(_PATTERNS, _PATTERN_WEIGHTS)
            )
        else:
            out.update(top_hem=0.99, top_flare=0.0)
        if random.chance(0.35):
            out["leg_colour"] = random.choice(((24, 24, 28), (60, 56, 60), (190, 150, 130), (40, 44, 70)))
    elif kind == "coat":
        out.update(
            skirt_hem=random.uniform(0.5, 0.74), skirt_flare=random.uniform(0.045, 0.08), skirt_ripple=0.15,
            skirt_is_bottom=False, top_hem=0.97, top_ease=0.03, sleeve=0.565, collar=0.045, bottom_ease=0.004,
            bottom_flare=0.0,
        )  # fmt: skip
    return out


def _shoes(random: Random, parts: dict[str, object]) -> dict[str, object]:
    kind = random.choice(("sneaker", "leather", "boot", "sandal"), (5, 3, 1.3, 0.6))
    colour = _shade(
        random, random.choice(((30, 30, 32), (62, 44, 34), (226, 226, 222), (110, 110, 114), (96, 66, 44))), 8
    )
    out: dict[str, object] = {"shoe_colour": colour, "sole_colour": colour}
    if kind == "sneaker":
        out["shoe_colour"] = colour if random.chance(0.5) else _cloth(random)
        out["sole_colour"] = (232, 232, 228) if random.chance(0.75) else (40, 40, 42)
        if random.chance(0.5):
            out.update(shaft=random.uniform(0.12, 0.26), shaft_material="leg")
    elif kind == "boot":
        out.update(shaft=random.uniform(0.16, 0.40), shaft_ease=0.012, shaft_material="shoe")
    elif kind == "sandal":
        out.update(barefoot=True, shoe_colour=parts["skin"], sole_colour=(70, 56, 44))
    return out
