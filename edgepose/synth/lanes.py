"""Pictures with a pixel in one integer: B, G and R in 16-bit lanes of a uint64, from the lowest on.

One operation then works on all channels, and a pixel is gathered or written as one element: with a channel
axis of length 3, NumPy's innermost loop would run over 3 elements. No lane may overflow into the next.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Lanes = NDArray[np.uint64]
Unsigned = TypeVar("Unsigned", np.uint16, np.uint64)


def in_lanes(value: int) -> np.uint64:
    """Return the number in every lane."""
    lanes: np.uint64 = np.uint64(value << 32 | value << 16 | value)
    return lanes


LANE_BYTES = in_lanes(0xFF)


def lanes_of(pixels: NDArray[np.uint8]) -> Lanes:
    """Return a picture (..., 3) as lanes (...)."""
    return joined(pixels[..., 0], pixels[..., 1], pixels[..., 2])


def joined(b: NDArray[np.uint8], g: NDArray[np.uint8], r: NDArray[np.uint8]) -> Lanes:
    """Return the lanes of three channels of one shape."""
    out = r.astype(np.uint64)
    for channel in (g, b):
        out <<= np.uint64(16)
        out |= channel
    return out


def pixels_of(lanes: Lanes) -> NDArray[np.uint8]:
    """Return lanes (...) as a picture (..., 3): the lower byte of every lane."""
    bytes_ = lanes.astype("<u8", copy=False).view(np.uint8).reshape(*lanes.shape, 8)
    out = np.empty((*lanes.shape, 3), dtype=np.uint8)
    for channel in range(3):
        out[..., channel] = bytes_[..., 2 * channel]
    return out


def with_neighbours(source: Lanes, rows: slice) -> Lanes:
    """Return rows, the one before and the one after; beyond the border the row at the border."""
    index = np.arange(rows.start - 1, rows.stop + 1)
    return source.take(np.minimum(np.maximum(index, 0), len(source) - 1), axis=0)


def doubled_rows(source: NDArray[Unsigned]) -> NDArray[Unsigned]:
    """Return a map (h, w) of lanes or of numbers at twice the height, bilinear and times 4: up to 16383."""
    out = np.empty((2 * source.shape[0], source.shape[1]), dtype=source.dtype)
    _double(source, out[0::2], out[1::2])
    return out


def doubled_columns(source: NDArray[Unsigned]) -> NDArray[Unsigned]:
    """Return a map (h, w) of lanes or of numbers at twice the width, bilinear and times 4: up to 16383."""
    out = np.empty((source.shape[0], 2 * source.shape[1]), dtype=source.dtype)
    _double(source.T, out[:, 0::2].T, out[:, 1::2].T)
    return out


def _double(source: NDArray[Unsigned], even: NDArray[Unsigned], odd: NDArray[Unsigned]) -> None:
    """Fill the rows at a quarter before and after each source row, times four."""
    triple = source * source.dtype.type(3)
    np.add(triple[1:], source[:-1], out=even[1:])
    np.add(triple[:1], source[:1], out=even[:1])
    np.add(triple[:-1], source[1:], out=odd[:-1])
    np.add(triple[-1:], source[-1:], out=odd[-1:])
