"""The pictures that a measurement runs on, as raw bytes for the runner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgepose import log
from edgepose.errors import UsageError
from edgepose.hashing import sha256_file
from edgepose.media import open_source

MAX_PICTURES = 16


@dataclass(frozen=True, slots=True)
class RawPicture:
    """A file of height_px * width_px * 3 bytes in BGR order."""

    file: Path
    width_px: int
    height_px: int
    sha256: str


def raw_pictures(target: str, folder: Path) -> list[RawPicture]:
    """Decode the first pictures of a file, folder or video into a folder. Errors: UsageError."""
    if not Path(target).exists():
        raise UsageError(
            f"{target}: no such file or folder",
            hint="give a picture, a folder of pictures or a video; of a camera, record a video first",
        )
    source = open_source(target)
    found: list[RawPicture] = []
    try:
        if source.kind == "camera":
            raise UsageError("a camera cannot be measured with", hint="record a video and give that")
        for frame in source:
            if len(found) == MAX_PICTURES:
                log.notice(f"{target}: its first {MAX_PICTURES} pictures are measured with")
                break
            file = folder / f"{len(found):02d}.bgr"
            file.write_bytes(frame.image.tobytes())
            height_px, width_px = frame.image.shape[:2]
            found.append(RawPicture(file, width_px, height_px, sha256_file(file)))
    finally:
        source.close()
    if not found:
        raise UsageError(f"{target}: no readable picture")
    return found
