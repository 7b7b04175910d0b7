"""What makes the renderer fast must not change its pixels: lanes, bands, planes and their helpers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.synth import mesh, numeric, tubes
from edgepose.synth.background import Background
from edgepose.synth.degrade import Faults, degrade
from edgepose.synth.lanes import doubled_columns, doubled_rows, lanes_of, pixels_of
from edgepose.synth.numeric import Random
from edgepose.synth.surfaces import numbered

SIZES = [(1, 1), (1, 7), (5, 1), (3, 4), (33, 20), (64, 9), (97, 31)]


def _pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[::3, ::2] = 255  # a lane that is full next to another
    return pixels


def _doubled(source: np.ndarray, axis: int) -> np.ndarray:
    """Return 4 times the values at a quarter before and after each value along an axis."""
    source = np.moveaxis(source.astype(np.int64), axis, 0)
    before, after = np.concatenate([source[:1], source[:-1]]), np.concatenate([source[1:], source[-1:]])
    out = np.stack([3 * source + before, 3 * source + after], axis=1)
    return np.moveaxis(out.reshape(-1, *source.shape[1:]), 0, axis)


@pytest.mark.parametrize("size", SIZES)
def test_lanes_hold_the_three_bytes_of_a_pixel(size: tuple[int, int]) -> None:
    pixels = _pixels(*size)
    lanes = lanes_of(pixels)
    assert lanes.dtype == np.uint64 and lanes.shape == size
    assert int(lanes[0, 0]) == 255 | 255 << 16 | 255 << 32
    assert np.array_equal(pixels_of(lanes), pixels)
    assert pixels_of(lanes).flags.c_contiguous


@pytest.mark.parametrize("size", SIZES)
def test_doubling_keeps_the_lanes_apart(size: tuple[int, int]) -> None:
    pixels = _pixels(*size)
    lanes = doubled_rows(doubled_columns(lanes_of(pixels)))
    expected = _doubled(_doubled(pixels, 1), 0)
    for channel in range(3):
        found = (lanes >> np.uint64(16 * channel)) & np.uint64(0xFFFF)
        assert np.array_equal(found, expected[..., channel])
    numbers = np.random.default_rng(1).integers(0, 4096, size).astype(np.uint16)
    numbers[0, 0] = 4095
    assert np.array_equal(doubled_rows(doubled_columns(numbers)), _doubled(_doubled(numbers, 1), 0))


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (64, 64), (65, 64), (129, 31), (130, 33)])
@pytest.mark.parametrize("shadowed", [False, True])
def test_background_is_enlarged_as_one_piece(size_hw: tuple[int, int], shadowed: bool) -> None:
    height, width = size_hw
    small = (-(-height // 2), -(-width // 2))
    pixels = _pixels(*small)
    left = np.random.default_rng(2).integers(0, 257, small).astype(np.uint16) if shadowed else None
    background = Background(pixels, np.ones(small, dtype=np.bool_))
    source = pixels if left is None else (pixels.astype(np.int64) * left[..., None]) >> 8
    expected = (_doubled(_doubled(source, 1), 0)[:height, :width] + 8) >> 4
    lanes = background.enlarged(size_hw, left)
    assert lanes.flags.c_contiguous  # pixels are written to its flat view
    assert np.array_equal(pixels_of(lanes), expected)
    assert np.array_equal(background.pixels, pixels)


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


@settings(max_examples=200, deadline=None)
@given(st.floats(-10, 10), st.floats(-10, 10), st.integers(2, 40))
def test_spaced_is_linspace(start: float, stop: float, count: int) -> None:
    assert np.array_equal(numeric.spaced(start, stop, count), np.linspace(start, stop, count))


def test_columns_take_arrays_and_numbers() -> None:
    a, b = np.arange(4.0), np.arange(4.0) * 2
    assert np.array_equal(numeric.columns(4, a, 7.0, b), np.stack([a, np.full(4, 7.0), b], axis=1))


def test_interpolation_at_knots_and_beyond() -> None:
    xs, ys = np.array([0.0, 1.0, 3.0]), np.array([[1.0, 10.0], [2.0, 30.0], [4.0, 20.0]])
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0])
    expected = np.stack([np.interp(x, xs, ys[:, k]) for k in range(2)], axis=1)
    assert np.allclose(numeric.interpolate(x, xs, ys), expected, rtol=0, atol=1e-12)
    assert np.allclose(numeric.interpolate(x, xs[:2], ys[:2, 0]), np.interp(x, xs[:2], ys[:2, 0]))


def test_numbered_counts_what_is_chosen() -> None:
    used, chosen = numbered(np.array([[7, 2, 7], [9, 2, 2]]), 11)
    assert used.tolist() == [2, 7, 9]
    assert chosen.tolist() == [[1, 0, 1], [2, 0, 0]]
    used, chosen = numbered(np.empty((3, 0), dtype=np.int64), 5)
    assert used.shape == (0,) and chosen.shape == (3, 0)


def test_rings_of_joints_hang_between_the_bones() -> None:
    blend = tubes.chain(np.array([2.0, 1.02, 1.0, 0.5, 0.0]), [5, 6, 7], [1.0, 0.02], 0.05)
    assert blend.bone_a.tolist() == [5, 5, 5, 6, 6]
    assert blend.bone_b.tolist() == [5, 6, 6, 6, 7]
    assert blend.weight.tolist() == pytest.approx([0, 0.216, 0.5, 0, 0.784])


def test_tubes_end_where_the_next_begins() -> None:
    previous, following = mesh.ring_neighbours((3, 1, 2))
    assert previous.tolist() == [0, 0, 1, 3, 4, 4]
    assert following.tolist() == [1, 2, 2, 3, 5, 5]
    triangles, rings = mesh.grid_triangles((2, 3), 3)  # rings 0 and 1; 2, 3 and 4; of three vertices each
    assert rings.tolist() == [0] * 4 + [2] * 4 + [3] * 4
    assert triangles.T[:4].tolist() == [[0, 1, 3], [1, 4, 3], [1, 2, 4], [2, 5, 4]]
    assert np.array_equal(triangles[:, 4:8], triangles[:, :4] + 6)
    assert np.array_equal(triangles[:, 8:], triangles[:, :4] + 9)
