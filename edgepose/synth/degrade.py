"""What a camera does to a picture: blur, noise, and the blocks of a lossy file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.numeric import PI, FloatArray, Random, sin_cos

Picture = NDArray[np.uint8]

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


def _binomial(image: Picture) -> Picture:
    """Blur with (1 2 1) / 4 in both directions."""
    wide = image.astype(np.uint16)
    rows = wide * 2
    rows[1:] += wide[:-1]
    rows[0] += wide[0]
    rows[:-1] += wide[1:]
    rows[-1] += wide[-1]
    out = rows * 2
    out[:, 1:] += rows[:, :-1]
    out[:, 0] += rows[:, 0]
    out[:, :-1] += rows[:, 1:]
    out[:, -1] += rows[:, -1]
    out += 8
    out >>= 4
    return out.astype(np.uint8)


def _smeared(image: Picture, length: int, horizontal: bool) -> Picture:
    axis = 1 if horizontal else 0
    pad = [(0, 0), (0, 0), (0, 0)]
    pad[axis] = (length // 2 + 1, length // 2)
    sums = np.cumsum(np.pad(image, pad, mode="edge"), axis=axis, dtype=np.uint32)
    moved = sums[:, length:] - sums[:, :-length] if horizontal else sums[length:] - sums[:-length]
    return ((moved + length // 2) // length).astype(np.uint8)


def _noisy(image: Picture, faults: Faults, random: Random) -> Picture:
    """Change contrast and offset, and add noise, independent in every channel."""
    height, width, _ = image.shape
    gain = int(faults.contrast * 128 + 0.5)
    wide = image.astype(np.uint16)
    wide *= np.uint16(gain)
    wide >>= 7
    out = wide.view(np.int16)
    out += np.int16(128 - gain + int(faults.offset))
    if faults.noise:
        # The sum of two bytes, the second from somewhat further on, has the triangular distribution of two
        # uniforms.
        count, apart = height * width * 3, width * 3 + 11
        bits = random.raw_bytes(count + apart).view(np.int8)
        grain = bits[:count].astype(np.int16)
        grain += bits[apart:]
        grain *= np.int16(faults.noise)
        grain >>= 7
        out += grain.reshape(image.shape)
    np.maximum(out, 0, out=out)
    np.minimum(out, 255, out=out)
    return out.astype(np.uint8)


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
    m = _dct_matrix()
    out = np.empty_like(blocks)
    if not inverse:
        s = [blocks[n] + blocks[7 - n] for n in range(4)]
        d = [blocks[n] - blocks[7 - n] for n in range(4)]
        for k in range(8):
            source = s if k % 2 == 0 else d
            out[k] = ((source[0] * m[k, 0] + source[1] * m[k, 1]) + source[2] * m[k, 2]) + source[3] * m[k, 3]
        return out
    for n in range(4):
        even = ((blocks[0] * m[0, n] + blocks[2] * m[2, n]) + blocks[4] * m[4, n]) + blocks[6] * m[6, n]
        odd = ((blocks[1] * m[1, n] + blocks[3] * m[3, n]) + blocks[5] * m[5, n]) + blocks[7] * m[7, n]
        out[n] = even + odd
        out[7 - n] = even - odd
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
    padded = np.pad(image, [(0, -height % 16), (0, -width % 16), (0, 0)], mode="edge").astype(np.float32)
    b, g, r = padded[..., 0], padded[..., 1], padded[..., 2]
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
    out = np.empty_like(padded)
    out[..., 0] = y_out + np.float32(1.772) * cb
    out[..., 1] = (y_out - np.float32(0.344136) * cb) - np.float32(0.714136) * cr
    out[..., 2] = y_out + np.float32(1.402) * cr
    return np.minimum(np.maximum(np.rint(out), 0), 255).astype(np.uint8)[:height, :width]
