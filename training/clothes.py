"""Other clothes: the photographs show the same few thousand outfits again and again, many of them of teams.

A garment's pixels, along the labelled limbs, get another colour; light, shade and folds stay.
"""

from __future__ import annotations

import cv2
import numpy as np

from training.crop import Floats, Picture

Limbs = tuple[tuple[int, int], ...]

# Limbs of garments, and their thickness as a share of the torso's length.
TORSO = ((5, 11), (6, 12), (5, 12), (6, 11), (5, 6), (11, 12))
UPPER_ARMS, FOREARMS = ((5, 7), (6, 8)), ((7, 9), (8, 10))
THIGHS, SHINS = ((11, 13), (12, 14), (11, 12)), ((13, 15), (14, 16))
TORSO_WIDTH, ARM_WIDTH, FOREARM_WIDTH, THIGH_WIDTH, SHIN_WIDTH = 0.34, 0.18, 0.144, 0.27, 0.19
# How often a garment changes, has sleeves, long ones of these, long legs, a pattern.
CHANGED, SLEEVES, LONG_SLEEVES, LONG_LEGS, PATTERNED = 0.7, 0.5, 0.5, 0.6, 0.25
SHORTEST_TORSO_PX = 8.0


def other_clothes(
    random: np.random.Generator, picture: Picture, keypoints: Floats, outline: Picture | None = None
) -> Picture:
    """Return the picture (H, W, 3) with the person's clothes in other colours; keypoints (17, 3: px, weight).

    Nothing is changed where no side of the torso is known, or few pixels show it. The outline (H, W), where
    it is known, bounds the garments.
    """
    known = keypoints[:, 2] > 0
    sides = [
        np.linalg.norm(keypoints[a, :2] - keypoints[b, :2]) for a, b in TORSO[:2] if known[a] and known[b]
    ]
    size_px = max((float(side) for side in sides), default=0.0)
    if size_px < SHORTEST_TORSO_PX:
        return picture
    top: list[tuple[Limbs, float]] = [(TORSO, TORSO_WIDTH)]
    bottom: list[tuple[Limbs, float]] = [(THIGHS, THIGH_WIDTH)]
    if random.random() < SLEEVES:
        top.append((UPPER_ARMS, ARM_WIDTH))
        if random.random() < LONG_SLEEVES:
            top.append((FOREARMS, FOREARM_WIDTH))
    if random.random() < LONG_LEGS:
        bottom.append((SHINS, SHIN_WIDTH))
    for garment in (bottom, top):
        if random.random() >= CHANGED:
            continue
        inside = np.zeros(picture.shape[:2], dtype=np.uint8)
        for limbs, width in garment:
            for a, b in limbs:
                if known[a] and known[b]:
                    start, end = np.rint(keypoints[[a, b], :2]).astype(int).tolist()
                    cv2.line(inside, start, end, 255, max(1, round(width * size_px)))
        picture = _dyed(random, picture, inside if outline is None else np.minimum(inside, outline))
    return picture


def _dyed(random: np.random.Generator, picture: Picture, inside: Picture) -> Picture:
    """Return the picture with other colours, of one or of a few patches, where `inside` (H, W) is 255."""
    x, y, width, height = cv2.boundingRect(inside)
    if not width:
        return picture
    part, inside = picture[y : y + height, x : x + width], inside[y : y + height, x : x + width]
    # White takes every colour and black none: the brightness changes first, along a curve.
    curve = 255 * (np.arange(256) / 255) ** float(np.exp(random.normal(0.0, 0.5)))
    grey = cv2.LUT(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), curve.astype(np.uint8)).astype(np.float32)
    kept = float(random.uniform(0.0, 0.5))  # of the old colour
    cells = random.integers(2, 9, 2).tolist() if random.random() < PATTERNED else (1, 1)
    dyes = random.uniform(0.15, 1.3, (*cells, 3)).astype(np.float32)
    dye = cv2.resize(dyes, (width, height), interpolation=cv2.INTER_NEAREST)
    dyed = grey[..., None] * dye * (1 - kept) + part * np.float32(kept)
    share = cv2.blur(inside, (3, 3)).astype(np.float32)[..., None] / 255
    changed: Picture = picture.copy()
    changed[y : y + height, x : x + width] = np.clip(part + (dyed - part) * share, 0, 255)
    return changed
