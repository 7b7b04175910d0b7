"""What a camera does to a picture: blur, noise, and the blocks of a lossy file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.numeric import PI, FloatArray, Random, sin_cos

Picture = NDArray[np.uint8]

_BAND = 32  # rows

# Quantisation tables of ITU-T T.81, Annex K.
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66,
    99, 99, 99, 99, 99, 99,
) + (99,) * 32  # fmt: skip


@dataclass(frozen=True, slots=True)
class Faults:
    """How a camera spoils pictures: passes of blur, motion, noise in grey levels, JPEG quality, contrast."""

    blur: int
    motion_px: int
    noise: int
    quality: int | None
    contrast: float
    offset: float


def sample_faults(random: Random) -> Faults:
    """Draw the faults of a camera."""
    return Faults(
        blur=random.choice((0, 1, 2, 4), (5, 3.5, 1.2, 0.4)),
        motion_px=random.choice((0, 3, 5, 7), (14, 1, 0.7, 0.4)),
        noise=random.choice((0, 3, 6, 10, 18), (1.5, 3.5, 3, 1.5, 0.5)),
        quality=random.integer(30, 92) if random.chance(0.2) else None,
        contrast=random.uniform(0.82, 1.15),
        offset=random.normal(0, 8),
    )


def degrade(image: Picture, faults: Faults, random: Random) -> Picture:
    """Return the picture (H, W, 3) with the faults; the noise comes from `random`."""
    out = image
    for _ in range(faults.blur):
        out = _binomial(out)
    if faults.motion_px:
        out = _smeared(out, faults.motion_px, random.chance(0.8))
    out = _noisy(out, faults, random)
    if faults.quality is not None:
        out = lossy(out, faults.quality)
    return out


def _bands(height: int) -> Iterator[slice]:
    """Cut the rows of a picture into bands, so that what is computed of a band stays in the cache."""
    for start in range(0, height, _BAND):
        yield slice(start, min(start + _BAND, height))


def _rows(image: Picture, band: slice, above: int, below: int) -> NDArray[np.uint16]:
    """Return a band and rows around it; beyond the border the first and the last row are repeated."""
    index = np.arange(band.start - above, band.stop + below)
    return image[np.minimum(np.maximum(index, 0), len(image) - 1)].astype(np.uint16)


def _binomial(image: Picture) -> Picture:
    """Blur with (1 2 1) / 4 in both directions."""
    blurred = np.empty_like(image)
    for band in _bands(len(image)):
        wide = _rows(image, band, 1, 1)
        rows = wide[1:-1] * np.uint16(2)
        rows += wide[:-2]
        rows += wide[2:]
        out = rows * np.uint16(2)
        out[:, 1:] += rows[:, :-1]
        out[:, 0] += rows[:, 0]
        out[:, :-1] += rows[:, 1:]
        out[:, -1] += rows[:, -1]
        out += np.uint16(8)
        out >>= np.uint16(4)
        blurred[band] = out
    return blurred


def _smeared(image: Picture, length: int, horizontal: bool) -> Picture:
    """Average over `length` (odd) pixels side by side."""
    half, (height, width, _) = length // 2, image.shape
    columns = np.minimum(np.maximum(np.arange(-half, width + half), 0), width - 1)
    smeared = np.empty_like(image)
    for band in _bands(height):
        count = band.stop - band.start
        if horizontal:
            wide = _rows(image, band, 0, 0).take(columns, axis=1)
            parts = [wide[:, k : k + width] for k in range(length)]
        else:
            wide = _rows(image, band, half, half)
            parts = [wide[k : k + count] for k in range(length)]
        total = parts[0] + np.uint16(half)  # rounds
        for part in parts[1:]:
            total += part
        total //= np.uint16(length)
        smeared[band] = total
    return smeared


def _noisy(image: Picture, faults: Faults, random: Random) -> Picture:
    """Change contrast and offset, and add noise, independent in every channel."""
    height, width, _ = image.shape
    gain = int(faults.contrast * 128 + 0.5)
    # The sum of two bytes, the second from somewhat further on, has the triangular distribution of two
    # uniforms.
    apart = width * 3 + 11
    bits = random.raw_bytes(height * width * 3 + apart).view(np.int8) if faults.noise else None
    noisy = np.empty_like(image)
    # Arrays: with one number and int16, NumPy's maximum and minimum take eight times as long.
    black, white = np.zeros((_BAND, width, 3), np.int16), np.full((_BAND, width, 3), 255, np.int16)
    for band in _bands(height):
        wide = image[band].astype(np.uint16)
        wide *= np.uint16(gain)
        wide >>= np.uint16(7)
        out = wide.view(np.int16)
        out += np.int16(128 - gain + int(faults.offset))
        if bits is not None:
            first = band.start * width * 3
            grain = bits[first : first + out.size].astype(np.int16)
            grain += bits[first + apart : first + apart + out.size]
            grain *= np.int16(faults.noise)
            grain >>= np.int16(7)
            out += grain.reshape(out.shape)
        np.maximum(out, black[: len(out)], out=out)
        noisy[band] = np.minimum(out, white[: len(out)], out=out)
    return noisy


@lru_cache(maxsize=1)
def _dct_matrix() -> FloatArray:
    rows = []
    for k in range(8):
        scale = 0.3535533905932738 if k == 0 else 0.5
        rows.append([sin_cos((2 * n + 1) * k * PI / 16)[1] * scale for n in range(8)])
    return np.array(rows, dtype=np.float32)


def _transform(blocks: FloatArray, inverse: bool) -> FloatArray:
    """Apply the 8-point DCT along the first axis of (8, ...), in a fixed order of additions.

    Even and odd outputs are computed from sums and differences of mirrored inputs, which halves the products.
    """
    m = _dct_matrix().reshape(8, 8, *[1] * (blocks.ndim - 1))
    out = np.empty_like(blocks)
    if not inverse:
        s, d = blocks[:4] + blocks[:3:-1], blocks[:4] - blocks[:3:-1]
        for first, source in ((0, s), (1, d)):
            c = m[first::2]
            out[first::2] = ((source[0] * c[:, 0] + source[1] * c[:, 1]) + source[2] * c[:, 2]) + source[
                3
            ] * c[:, 3]
        return out
    c = m[:, :4]
    even = ((blocks[0] * c[0] + blocks[2] * c[2]) + blocks[4] * c[4]) + blocks[6] * c[6]
    odd = ((blocks[1] * c[1] + blocks[3] * c[3]) + blocks[5] * c[5]) + blocks[7] * c[7]
    np.add(even, odd, out=out[:4])
    np.subtract(even, odd, out=out[:3:-1])
    return out


def _quantised(channel: FloatArray, table: tuple[int, ...], quality: int) -> FloatArray:
    """Round the DCT coefficients of a channel (H, W), sides multiples of 8, as that quality does."""
    factor = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = np.maximum((np.array(table) * factor + 50) // 100, 1).reshape(8, 8, 1, 1).astype(np.float32)
    height, width = channel.shape
    # (row in block, block row, x) -> (column in block, row in block, block row, block column) and back.
    rows = _transform(channel.reshape(height // 8, 8, width).transpose(1, 0, 2).copy(), False)
    blocks = _transform(rows.reshape(8, height // 8, width // 8, 8).transpose(3, 0, 1, 2).copy(), False)
    steps = steps.transpose(1, 0, 2, 3)
    blocks /= steps
    np.rint(blocks, out=blocks)
    blocks *= steps
    rows = _transform(blocks, True).transpose(1, 2, 3, 0).copy().reshape(8, height // 8, width)
    out: FloatArray = _transform(rows, True).transpose(1, 0, 2).reshape(height, width)
    return out


def lossy(image: Picture, quality: int) -> Picture:
    """Return the picture as if stored as JPEG of that quality (1..100) with halved chroma."""
    height, width, _ = image.shape
    pixels = np.pad(image, [(0, -height % 16), (0, -width % 16), (0, 0)], mode="edge")
    b, g, r = (pixels[..., channel].astype(np.float32) for channel in range(3))
    y = (b * np.float32(0.114) + g * np.float32(0.587)) + r * np.float32(0.299)
    y_out = _quantised(y - np.float32(128), _LUMA, quality) + np.float32(128)
    differences = []
    for channel, scale in ((b, 0.564), (r, 0.713)):
        chroma = (channel - y) * np.float32(scale)
        halved = (
            (chroma[::2, ::2] + chroma[1::2, ::2]) + (chroma[::2, 1::2] + chroma[1::2, 1::2])
        ) * np.float32(0.25)
        coarse = _quantised(halved, _CHROMA, quality)
        differences.append(np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1))
    cb, cr = differences
    out = np.empty_like(image)
    channels = (
        y_out + np.float32(1.772) * cb,
        (y_out - np.float32(0.344136) * cb) - np.float32(0.714136) * cr,
        y_out + np.float32(1.402) * cr,
    )
    for index, values in enumerate(channels):
        np.rint(values, out=values)
        out[..., index] = np.minimum(np.maximum(values, 0), 255)[:height, :width]
    return out
