"""A pinhole camera above the ground plane y = 0.

World axes: x right, y up, z towards the viewer; the camera stands at (0, height, 0) and looks along -z.
Pixels: x right, y down, whole numbers at pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgepose.synth.numeric import FloatArray, product, rotation

NEAREST_M = 0.15  # nothing closer to the camera is drawn


@lru_cache(maxsize=16)
def _rotation(roll: float, pitch: float, yaw: float) -> FloatArray:
    matrix = product(rotation("z", roll), rotation("x", pitch), rotation("y", -yaw))
    matrix.flags.writeable = False
    return matrix


@dataclass(frozen=True, slots=True)
class Camera:
    """The view: height, pitch (down is positive), roll and yaw in radians, and the focal length."""

    height_m: float
    pitch: float
    roll: float
    focal_px: float
    size_hw: tuple[int, int]
    yaw: float = 0.0

    @property
    def centre(self) -> tuple[float, float]:
        """The principal point (x, y)."""
        return (self.size_hw[1] - 1) / 2, (self.size_hw[0] - 1) / 2

    def rotation(self) -> FloatArray:
        """Return the matrix (3, 3) from world to camera axes (x right, y up, z backwards)."""
        return _rotation(self.roll, self.pitch, self.yaw)

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return pixels (..., 2) and depths (...) of world points (..., 3); a depth <= 0 is behind."""
        x, y, z = points[..., 0], points[..., 1] - self.height_m, points[..., 2]
        right, up, back = (a * x + b * y + c * z for a, b, c in self.rotation().tolist())
        depth = -back
        safe = np.maximum(depth, 1e-3)
        cx, cy = self.centre
        xy = np.empty((2, *depth.shape))
        xy[0] = cx + self.focal_px * right / safe
        xy[1] = cy - self.focal_px * up / safe
        return np.moveaxis(xy, 0, -1), depth

    def rays(self, step_px: int = 1) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the world directions x, y, z of blocks of step_px x step_px pixels, each (h, w) float32."""
        height, width = self.size_hw
        cx, cy = self.centre
        middle = (step_px - 1) / 2
        x = ((np.arange(0, width, step_px) + (middle - cx)) / self.focal_px).astype(np.float32)[None, :]
        y = ((cy - middle - np.arange(0, height, step_px)) / self.focal_px).astype(np.float32)[:, None]
        m = self.rotation().T.astype(np.float32)
        parts = [m[k, 0] * x + (m[k, 1] * y - m[k, 2]) for k in range(3)]
        return parts[0], parts[1], parts[2]
