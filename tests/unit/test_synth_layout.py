"""What makes the renderer fast must not change its pixels: bands."""

from __future__ import annotations

import numpy as np
import pytest

from edgepose.synth.degrade import Faults, degrade
from edgepose.synth.numeric import Random

SIZES = [(1, 1), (1, 7), (5, 1), (3, 4), (33, 20), (64, 9), (97, 31)]


def _pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[::3, ::2] = 255  # a lane that is full next to another
    return pixels


def _faults(**changes: int) -> Faults:
    values = {"blur": 0, "motion_px": 0, "noise": 0, "quality": None, "contrast": 1.0, "offset": 0.0}
    return Faults(**{**values, **changes})  # type: ignore[arg-type]


def _box(pixels: np.ndarray, weights: tuple[int, ...], axis: int) -> np.ndarray:
    half = len(weights) // 2
    pad = [(half, half) if a == axis else (0, 0) for a in range(3)]
    padded = np.moveaxis(np.pad(pixels.astype(np.int64), pad, mode="edge"), axis, 0)
    total = sum(w * padded[k : k + pixels.shape[axis]] for k, w in enumerate(weights))
    return np.moveaxis(np.asarray(total), 0, axis)


@pytest.mark.parametrize("size", SIZES)
def test_blur_in_bands_is_the_blur_of_the_whole_picture(size: tuple[int, int]) -> None:
    pixels = _pixels(*size)
    blurred = degrade(pixels, _faults(blur=1), Random(1))
    assert np.array_equal(blurred, (_box(_box(pixels, (1, 2, 1), 0), (1, 2, 1), 1) + 8) >> 4)
    for length in (3, 5, 7):
        sides = [(_box(pixels, (1,) * length, axis) + length // 2) // length for axis in (0, 1)]
        smeared = degrade(pixels, _faults(motion_px=length), Random(1))
        assert any(np.array_equal(smeared, side) for side in sides)


@pytest.mark.parametrize("size", SIZES)
def test_noise_in_bands_is_that_of_the_whole_picture(size: tuple[int, int]) -> None:
    width = size[1]
    pixels, faults = _pixels(*size), _faults(noise=18, contrast=1.15, offset=-9.5)
    count, apart = pixels.size, width * 3 + 11
    bits = Random(4).raw_bytes(count + apart).view(np.int8).astype(np.int64)
    grain = ((bits[:count] + bits[apart:]) * faults.noise >> 7).reshape(pixels.shape)
    gain = int(faults.contrast * 128 + 0.5)
    expected = (pixels.astype(np.int64) * gain >> 7) + 128 - gain + int(faults.offset) + grain
    assert np.array_equal(degrade(pixels, faults, Random(4)), np.clip(expected, 0, 255))
