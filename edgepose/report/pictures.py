"""Pictures inside the page: cut to what matters, small, as data: addresses."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgepose.errors import UsageError
from edgepose.media import load_cv2, read_picture

if TYPE_CHECKING:
    from edgepose.media import Image

_JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a picture, embedded: its address, its size, and where a point of the picture lies in it."""

    address: str
    width_px: int
    height_px: int
    left_px: float
    top_px: float
    scale: float

    def place(self, point: Sequence[float]) -> tuple[float, float, float]:
        """Turn x px, y px, score of the picture into those of the part."""
        return (
            (float(point[0]) - self.left_px) * self.scale,
            (float(point[1]) - self.top_px) * self.scale,
            float(point[2]),
        )


def cut(image: Image, box_xyxy: Sequence[float], *, side_px: int = 320, padding: float = 0.15) -> Cut:
    """Cut a box and its surroundings out of a picture; its longer side becomes side_px at most."""
    cv2 = load_cv2()
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    margin = padding * max(x2 - x1, y2 - y1)
    left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
    right, bottom = min(width, int(x2 + margin) + 1), min(height, int(y2 + margin) + 1)
    if right - left < 2 or bottom - top < 2:  # a box beside the picture
        left, top, right, bottom = 0, 0, width, height
    part = image[top:bottom, left:right]
    # Small persons are enlarged, so that lines do not hide them.
    scale = side_px / max(part.shape[:2])
    to_wh = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    resized = cv2.resize(part, to_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    _, data = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    address = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
    return Cut(address, to_wh[0], to_wh[1], left, top, scale)


def find_picture(folder: Path, name: str) -> Image:
    """Read the picture of that name inside a folder; annotations may name it with a folder of their own.

    Errors: UsageError for one that is absent, unreadable, or outside: the name comes from a document.
    """
    named = Path(name)
    # By its words alone: a link in the folder is the user's own, and may lead anywhere.
    inside = not named.anchor and ".." not in named.parts
    for path in (*([folder / named] if inside else []), folder / PurePosixPath(name).name):
        if path.is_file():
            return read_picture(path)
    raise UsageError(f"{name}: no such picture in {folder.name}/", hint="give the folder that was evaluated")
