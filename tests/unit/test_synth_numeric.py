"""The arithmetic and the rasteriser under the synthetic pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.synth.numeric import PI, Random, product, rotation, sin_cos, sin_cos_array
from edgepose.synth.raster import cover, plane, rasterise


@given(st.floats(-1e4, 1e4))
def test_sine_and_cosine_are_right(angle: float) -> None:
    s, c = sin_cos(angle)
    assert s == pytest.approx(math.sin(angle), abs=2e-13 + abs(angle) * 1e-15)
    assert c == pytest.approx(math.cos(angle), abs=2e-13 + abs(angle) * 1e-15)


def test_arrays_get_the_same_bits_as_single_angles() -> None:
    angles = np.linspace(-20, 20, 1001)
    sine, cosine = sin_cos_array(angles)
    assert [sin_cos(float(a)) for a in angles] == list(zip(sine.tolist(), cosine.tolist(), strict=True))


def test_rotations_are_right_handed() -> None:
    quarter = PI / 2
    assert np.allclose(rotation("z", quarter) @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    assert np.allclose(rotation("x", quarter) @ [0, 1, 0], [0, 0, 1], atol=1e-15)
    assert np.allclose(rotation("y", quarter) @ [0, 0, 1], [1, 0, 0], atol=1e-15)
    a, b = rotation("x", 0.3), rotation("y", -1.1)
    assert np.allclose(product(a, b), a @ b)


def test_random_streams_do_not_change() -> None:
    # From the definitions of SplitMix64 and Philox; other values would change every picture.
    random = Random(7, "stream")
    assert [random.unit() for _ in range(3)] == [0.2135592604023383, 0.2610411221844373, 0.0552075623758147]
    assert Random(7, "stream").units(2).tolist() == [0.4416607790318584, 0.17964618585588077]
    assert Random(7, "stream").raw_bytes(5).tolist() == [87, 143, 34, 222, 73]


def test_random_children_are_independent_of_what_was_drawn() -> None:
    a, b = Random(1), Random(1)
    for _ in range(100):
        a.unit()
    assert a.child("x", 2).unit() == b.child("x", 2).unit()
    assert b.child("x", 2).unit() != b.child("x", 3).unit()
    assert Random(1, "x").unit() != Random(2, "x").unit()


def test_random_numbers_keep_their_distribution() -> None:
    random = Random(5)
    uniform = np.array([random.uniform(2, 4) for _ in range(4000)])
    assert uniform.min() >= 2 and uniform.max() < 4 and uniform.mean() == pytest.approx(3, abs=0.05)
    normal = np.array([random.normal(1, 2) for _ in range(4000)])
    assert normal.mean() == pytest.approx(1, abs=0.12) and normal.std() == pytest.approx(2, abs=0.12)
    counts = np.bincount([random.integer(0, 4) for _ in range(5000)], minlength=5)
    assert counts.min() > 850
    picks = [random.choice("ab", (3, 1)) for _ in range(4000)]
    assert picks.count("a") / 4000 == pytest.approx(0.75, abs=0.04)


def _brute_force(xy: np.ndarray, inverse: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the nearest triangle at each pixel centre, -1 for none and -2 where rounding may decide."""
    best = np.zeros((height, width))
    found = np.full((height, width), -1)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    for index, (corners, depth) in enumerate(zip(xy, inverse, strict=True)):
        (x0, y0), (x1, y1), (x2, y2) = corners
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-6:
            continue
        b = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
        c = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
        low = np.minimum(np.minimum(b, c), 1 - b - c)
        value = depth[0] * (1 - b - c) + depth[1] * b + depth[2] * c
        inside = low > 1e-9
        nearer = inside & (value > best + 1e-9)
        doubtful = (np.abs(low) <= 1e-9) | (inside & (np.abs(value - best) <= 1e-9))
        best = np.where(nearer, value, best)
        found = np.where(nearer, index, found)
        found = np.where(doubtful, -2, found)
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_rasteriser_agrees_with_brute_force(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = 24, 31
    xy = generator.uniform(-8, 38, (count, 3, 2))
    inverse = generator.uniform(0.2, 2.0, (count, 1)) + generator.uniform(0, 0.05, (count, 3))
    expected = _brute_force(xy, inverse, height, width)
    fragments = rasterise(xy, inverse, height, width)
    got = np.full(height * width, -1)
    got[fragments.pixels] = fragments.triangles
    sure = expected.reshape(-1) != -2
    assert np.array_equal(got[sure], expected.reshape(-1)[sure])
    assert np.array_equal(fragments.pixels, fragments.y * width + fragments.x)


def test_order_of_triangles_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    xy = generator.uniform(0, 60, (40, 3, 2))
    inverse = generator.uniform(0.2, 2.0, (40, 3))
    a = rasterise(xy, inverse, 50, 60)
    order = generator.permutation(40)
    b = rasterise(xy[order], inverse[order], 50, 60)
    assert np.array_equal(a.pixels, b.pixels)
    assert np.array_equal(a.triangles, order[b.triangles])


def test_neighbouring_triangles_leave_no_gap() -> None:
    # A fan around an odd point: each pixel of the square must be covered.
    centre = np.array([17.3, 11.7])
    rim = np.array([[0, 0], [9, 0], [40, 0], [40, 13], [40, 30], [21, 30], [0, 30], [0, 7]], dtype=float)
    xy = np.stack([np.stack([centre, rim[k], rim[(k + 1) % 8]]) for k in range(8)])
    fragments = rasterise(xy, np.ones((8, 3)), 31, 41)
    assert len(fragments.pixels) == 31 * 41
    assert cover(xy, 31, 41).all()


def test_cover_is_what_the_rasteriser_hits() -> None:
    generator = np.random.default_rng(3)
    xy = generator.uniform(-5, 45, (9, 3, 2))
    hit = np.zeros(30 * 40, dtype=np.uint8)
    hit[rasterise(xy, np.ones((9, 3)), 30, 40).pixels] = 1
    assert np.array_equal(cover(xy, 30, 40).reshape(-1), hit)


def test_nothing_in_view_gives_nothing() -> None:
    xy = np.array([[[-9.0, -9.0], [-5.0, -9.0], [-9.0, -5.0]]])
    assert len(rasterise(xy, np.ones((1, 3)), 20, 20).pixels) == 0
    assert not cover(xy, 20, 20).any()


def test_plane_reproduces_corner_values() -> None:
    xy = np.array([[[1.0, 2.0], [9.0, 3.0], [4.0, 8.0]]])
    values = np.array([[3.0, -1.0, 7.5]])
    per_x, per_y, at_zero = plane(xy, values)
    assert np.allclose(xy[..., 0] * per_x + xy[..., 1] * per_y + at_zero, values)
