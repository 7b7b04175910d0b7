"""Arithmetic that gives the same bits on every machine.

IEEE 754 fixes +, -, *, / and the square root, one operation at a time. It fixes neither sin and cos (each C
library and each SIMD width has its own last bits) nor the order of a sum (BLAS, einsum and pairwise sums
differ per CPU). The renderer therefore uses these functions and element-wise NumPy only, and no other source
of random numbers.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
T = TypeVar("T")

PI = 3.141592653589793
_HALF_PI_HIGH = 1.5707963267341256  # pi/2 with its last 20 bits zero: k * this is exact for |k| < 2**20
_HALF_PI_LOW = 6.077100506506192e-11

_SIN = (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800, -1 / 1307674368000)
_COS = (
    -1 / 2,
    1 / 24,
    -1 / 720,
    1 / 40320,
    -1 / 3628800,
    1 / 479001600,
    -1 / 87178291200,
    1 / 20922789888000,
)


def sin_cos(angle_rad: float) -> tuple[float, float]:
    """Return sine and cosine of an angle below 1e6 rad in magnitude."""
    turns = math.floor(angle_rad * (2 / PI) + 0.5)
    r = (angle_rad - turns * _HALF_PI_HIGH) - turns * _HALF_PI_LOW
    sine, cosine = _sin_cos_reduced(r)
    quadrant = int(turns) & 3
    return ((sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine))[quadrant]


def sin_cos_array(angles_rad: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return sines and cosines of an array of float64 angles, element by element as sin_cos does."""
    turns = np.floor(angles_rad * (2 / PI) + 0.5)
    r = (angles_rad - turns * _HALF_PI_HIGH) - turns * _HALF_PI_LOW
    sine, cosine = _sin_cos_reduced(r)
    quadrant = turns.astype(np.int64) & 3
    swap = (quadrant & 1) == 1
    s, c = np.where(swap, cosine, sine), np.where(swap, sine, cosine)
    return np.where(quadrant >= 2, -s, s), np.where((quadrant == 1) | (quadrant == 2), -c, c)


def _sin_cos_reduced(r: Any) -> tuple[Any, Any]:
    r2 = r * r
    s3, s5, s7, s9, s11, s13, s15 = _SIN
    c2, c4, c6, c8, c10, c12, c14, c16 = _COS
    s = (((((s15 * r2 + s13) * r2 + s11) * r2 + s9) * r2 + s7) * r2 + s5) * r2 + s3
    c = ((((((c16 * r2 + c14) * r2 + c12) * r2 + c10) * r2 + c8) * r2 + c6) * r2 + c4) * r2 + c2
    return r + r * r2 * s, 1.0 + r2 * c


def clamp(value: float, low: float, high: float) -> float:
    """Return value, moved into [low, high]."""
    return low if value < low else high if value > high else value


def smoothstep(low: Any, high: Any, value: Any) -> Any:
    """Return 0 below low, 1 above high and the cubic between; for floats and arrays."""
    t = (value - low) / (high - low)
    t = clamp(t, 0.0, 1.0) if isinstance(t, float) else np.minimum(np.maximum(t, 0), 1)
    return t * t * (3 - 2 * t)


def columns(count: int, *parts: FloatArray | float) -> FloatArray:
    """Return an array (count, K) of K columns, each an array (count,) or a number, faster than np.stack."""
    out = np.empty((count, len(parts)))
    for k, part in enumerate(parts):
        out[:, k] = part
    return out


def spaced(start: float, stop: float, count: int) -> FloatArray:
    """Return `count` (2 or more) numbers evenly from start to stop, the bits of np.linspace in less time."""
    out: FloatArray = _ramp(count) * ((stop - start) / (count - 1))
    out += start
    out[-1] = stop
    return out


@lru_cache(maxsize=64)
def _ramp(count: int) -> FloatArray:
    return np.arange(count, dtype=np.float64)


def interpolate(x: FloatArray, xs: FloatArray, ys: FloatArray) -> FloatArray:
    """Interpolate ys (N, ...), given at ascending xs, at x (np.interp's last bits depend on the CPU)."""
    index = xs[1:-1].searchsorted(x, side="right")
    low = xs[index]
    t = np.minimum(np.maximum((x - low) / (xs[index + 1] - low), 0.0), 1.0)
    t = t.reshape(t.shape + (1,) * (ys.ndim - 1))
    out: FloatArray = ys[index] * (1 - t) + ys[index + 1] * t
    return out


def normalised(v: FloatArray) -> FloatArray:
    """Return vectors (..., 3) at length 1; null vectors stay null."""
    length = np.sqrt(v[..., 0] * v[..., 0] + v[..., 1] * v[..., 1] + v[..., 2] * v[..., 2])
    return v / np.maximum(length, 1e-12)[..., None]


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the cross products of vectors (..., 3)."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def rotate(matrix: FloatArray, v: FloatArray) -> FloatArray:
    """Apply matrices (..., 3, 3) to vectors (..., 3); both broadcast."""
    return matrix[..., :, 0] * v[..., 0:1] + matrix[..., :, 1] * v[..., 1:2] + matrix[..., :, 2] * v[..., 2:3]


def product(*matrices: FloatArray) -> FloatArray:
    """Multiply 3 x 3 matrices from left to right."""
    out = matrices[0]
    for m in matrices[1:]:
        out = out[:, 0:1] * m[0:1] + out[:, 1:2] * m[1:2] + out[:, 2:3] * m[2:3]
    return out


def rotation(axis: str, angle_rad: float) -> FloatArray:
    """Return the 3 x 3 right-handed rotation about "x", "y" or "z"."""
    s, c = sin_cos(angle_rad)
    if axis == "x":
        return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    if axis == "y":
        return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


_MASK = (1 << 64) - 1


class Random:
    """A seeded stream of numbers, the same on every machine and with every NumPy.

    Single numbers come from SplitMix64 (Steele, Lea and Flood, 2014), arrays from raw words of Philox, which
    NumPy's policy keeps stable (NEP 19: the distributions are not). A child depends on its name alone, so
    that one part of a scene drawing more numbers does not change another.
    """

    def __init__(self, seed: int, path: str = "") -> None:
        self.seed = seed
        self.path = path
        self._key = (seed & _MASK) << 64 | zlib.crc32(path.encode())
        self._state = ((seed * 0xD1342543DE82EF95) ^ (zlib.crc32(path.encode()) * 0xA24BAED4963EE407)) & _MASK
        self._bits: np.random.Philox | None = None

    def child(self, *names: str | int) -> Random:
        """Return the independent stream of that name."""
        return Random(self.seed, "/".join([self.path, *map(str, names)]))

    def unit(self) -> float:
        """Return a number in [0, 1)."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) >> 11) * (1.0 / 9007199254740992.0)

    def _words(self, count: int) -> NDArray[np.uint64]:
        if self._bits is None:
            self._bits = np.random.Philox(key=self._key)
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64)

    def units(self, count: int) -> NDArray[np.float64]:
        """Return an array of numbers in [0, 1)."""
        out: NDArray[np.float64] = (self._words(count) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
        return out

    def raw_bytes(self, count: int) -> NDArray[np.uint8]:
        """Return an array of random bytes."""
        return self._words((count + 7) // 8).astype("<u8", copy=False).view(np.uint8)[:count]

    def uniform(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.unit()

    def normal(self, mean: float, deviation: float) -> float:
        """Return a number that is nearly normal (a sum of four uniforms), at most 3.5 deviations off."""
        total = (self.unit() + self.unit()) + (self.unit() + self.unit())
        return mean + deviation * ((total - 2.0) * 1.7320508075688772)

    def integer(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return True with that probability."""
        return self.unit() < probability

    def choice(self, items: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """Return one of the items, by weight where weights are given."""
        if weights is None:
            return items[int(self.unit() * len(items))]
        mark = self.unit() * math.fsum(weights)
        for item, weight in zip(items, weights, strict=True):
            mark -= weight
            if mark < 0:
                return item
        return items[-1]
