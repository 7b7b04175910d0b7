"""A z-buffer for many small triangles, in NumPy.

Pixel centres lie at whole coordinates (0, 0 is the centre of the first pixel), as in COCO and OpenCV. A
triangle is cut into rows, a row into pixels; the nearest triangle of a pixel wins by one integer maximum over
(inverse depth, triangle number), so that the order of the triangles does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.numeric import FloatArray

_TRIANGLE_BITS = 20
_DEPTH_UNITS = float(1 << 36)
_CHUNK = 16384
MAX_TRIANGLES = 1 << _TRIANGLE_BITS


@dataclass(frozen=True, slots=True)
class Fragments:
    """The visible pixels: flat pixel index, row, column, triangle and inverse depth of each."""

    pixels: NDArray[np.intp]
    y: NDArray[np.intp]
    x: NDArray[np.intp]
    triangles: NDArray[np.intp]
    inverse_depth: FloatArray


@dataclass(frozen=True, slots=True)
class _Spans:
    """Rows of pixels: triangle, y, first x, number of pixels; at least one pixel each."""

    triangle: NDArray[np.int64]
    y: NDArray[np.int64]
    x0: NDArray[np.int64]
    count: NDArray[np.int64]


def _spans(xy: FloatArray, height_px: int, width_px: int) -> _Spans:
    """Cut triangles (T, 3, 2) into rows of pixels inside the image."""
    # Sort the corners by y, then x: an edge shared by two triangles gets the same arithmetic in both.
    a, b, c = ((xy[:, k, 0], xy[:, k, 1]) for k in range(3))
    a, b = _ordered(a, b)
    b, c = _ordered(b, c)
    a, b = _ordered(a, b)
    long_at, long_slope = _line(a, c)
    # The part above the middle corner, then the part from there on: each lies between two straight edges.
    halves = []
    for upper in (True, False):
        short_at, short_slope = _line(a, b) if upper else _line(b, c)
        first = np.maximum(np.ceil(a[1] if upper else b[1]), 0.0)
        last = np.minimum(np.ceil(b[1]) - 1 if upper else np.floor(c[1]), height_px - 1.0)
        halves.append((first, last, short_at, short_slope))
    first, last, short_at, short_slope = (np.concatenate(pair) for pair in zip(*halves, strict=True))
    rows = np.maximum(last - first + 1, 0).astype(np.int64)
    used = np.flatnonzero(rows > 0)
    rows = rows.take(used)
    triangle = np.where(used < len(xy), used, used - len(xy))
    ends = np.cumsum(rows)
    # Looking rows up by the number of their part is faster than repeating each of its quantities.
    part = np.repeat(np.arange(len(used)), rows)
    y = np.arange(len(part)) + (first.take(used) - ends + rows).take(part)  # float64, as what it multiplies
    edge_a = long_at.take(triangle).take(part) + long_slope.take(triangle).take(part) * y
    edge_b = short_at.take(used).take(part) + short_slope.take(used).take(part) * y
    x0 = np.maximum(np.ceil(np.minimum(edge_a, edge_b)), 0.0)
    x1 = np.minimum(np.floor(np.maximum(edge_a, edge_b)), width_px - 1.0)
    kept = np.flatnonzero(x1 >= x0)
    start = x0.take(kept)
    count = (x1.take(kept) - start).astype(np.int64) + 1
    return _Spans(
        triangle.take(part.take(kept)), y.take(kept).astype(np.int64), start.astype(np.int64), count
    )


Corner = tuple[FloatArray, FloatArray]


def _ordered(a: Corner, b: Corner) -> tuple[Corner, Corner]:
    swap = (b[1] < a[1]) | ((b[1] == a[1]) & (b[0] < a[0]))
    return (
        (np.where(swap, b[0], a[0]), np.where(swap, b[1], a[1])),
        (np.where(swap, a[0], b[0]), np.where(swap, a[1], b[1])),
    )


def _line(a: Corner, b: Corner) -> Corner:
    """Return x at y = 0 and the slope dx/dy of the line from a to b; a level line has slope 0."""
    dy = b[1] - a[1]
    slope = (b[0] - a[0]) / np.where(dy > 0, dy, 1.0) * (dy > 0)
    return a[0] - a[1] * slope, slope


def rasterise(xy: FloatArray, inverse_depth: FloatArray, height_px: int, width_px: int) -> Fragments:
    """Find the nearest triangle of every pixel.

    xy (T, 3, 2) are corners in pixels, inverse_depth (T, 3) their 1 / depth in 1/m (below 64); float64.
    """
    if len(xy) >= MAX_TRIANGLES:
        raise ValueError(f"{len(xy)} triangles are more than {MAX_TRIANGLES - 1}")
    spans = _spans(xy, height_px, width_px)
    per_x, per_y, at_zero = plane(xy, inverse_depth)
    t = spans.triangle
    ends = np.cumsum(spans.count)
    begin = ends - spans.count
    slope = per_x.take(t) * _DEPTH_UNITS
    start = (at_zero.take(t) + per_y.take(t) * spans.y) * _DEPTH_UNITS + slope * (spans.x0 - begin)
    first_pixel = spans.y * width_px + spans.x0 - begin
    number = t + 1  # 0 is no triangle
    buffer = np.zeros(height_px * width_px, dtype=np.int64)
    # In chunks that stay in the cache.
    total = int(ends[-1]) if len(ends) else 0
    cuts = [0, *np.searchsorted(ends, np.arange(_CHUNK, total, _CHUNK)).tolist(), len(ends)]
    for low, high in pairwise(cuts):
        if low == high:
            continue
        span = np.repeat(np.arange(low, high), spans.count[low:high])
        index = np.arange(int(begin[low]), int(ends[high - 1]))
        depth = slope.take(span)
        depth *= index
        depth += start.take(span)
        np.maximum(depth, 1.0, out=depth)
        key = depth.astype(np.int64)
        key <<= _TRIANGLE_BITS
        key |= number.take(span)
        index += first_pixel.take(span)
        np.maximum.at(buffer, index, key)
    hit = np.flatnonzero(buffer != 0)
    winner = buffer.take(hit)
    y = np.arange(height_px).repeat(np.diff(np.searchsorted(hit, np.arange(height_px + 1) * width_px)))
    return Fragments(
        pixels=hit,
        y=y,
        x=hit - y * width_px,
        triangles=(winner & (MAX_TRIANGLES - 1)) - 1,
        inverse_depth=(winner >> _TRIANGLE_BITS) * (1.0 / _DEPTH_UNITS),
    )


def cover(xy: FloatArray, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Return a mask (H, W) of the pixels under any of the triangles (T, 3, 2)."""
    spans = _spans(xy, height_px, width_px)
    # Each span adds one where it begins and takes one where it ends: a running sum gives the coverage.
    edges = np.zeros(height_px * (width_px + 1), dtype=np.int32)
    start = spans.y * (width_px + 1) + spans.x0
    np.add.at(edges, start, 1)
    np.add.at(edges, start + spans.count, -1)
    depth = np.cumsum(edges.reshape(height_px, width_px + 1), axis=1)[:, :width_px]
    return (depth > 0).astype(np.uint8)


def plane(xy: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return d/dx, d/dy and the value at (0, 0) of quantities linear over the triangles.

    values (T, 3) or (T, 3, K); the results are (T,) or (T, K). A triangle without area gets its first
    corner's value.
    """
    x, y = xy[..., 0], xy[..., 1]
    e1x, e1y, e2x, e2y = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], x[:, 2] - x[:, 0], y[:, 2] - y[:, 0]
    area = e1x * e2y - e2x * e1y
    flat = np.abs(area) < 1e-9
    inverse = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, area))
    x0, y0 = x[:, 0], y[:, 0]
    if values.ndim == 3:
        e1x, e1y, e2x, e2y = e1x[:, None], e1y[:, None], e2x[:, None], e2y[:, None]
        inverse, x0, y0 = inverse[:, None], x0[:, None], y0[:, None]
    d1, d2 = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    per_x = (d1 * e2y - d2 * e1y) * inverse
    per_y = (d2 * e1x - d1 * e2x) * inverse
    return per_x, per_y, values[:, 0] - per_x * x0 - per_y * y0
