"""Tell by their names and first bytes which files are pictures: read, refused, cut short, animated."""

from __future__ import annotations

import re
from pathlib import Path

from edgepose import log

_HEIF = (".heic", ".heif", ".avif")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")
_RAW = (
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".orf", ".raf", ".rw2", ".srw", ".pef", ".gpr"),
    *(".3fr", ".iiq", ".erf"),
)
_JPEG_STREAMS = (".mjpeg", ".mjpg")  # these begin like a picture, and are videos
_VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".mts", ".webm", ".gif")
_CONVERT = "convert it to JPEG or PNG"


def why_unread(path: Path) -> tuple[str, str] | None:
    """Say why a file without a picture's suffix is one all the same, and what helps; None where it is none.

    FFmpeg would take it for a video of one frame, not turned as EXIF says; of HEIC and AVIF it takes each
    tile for a stream of its own, so that a part would be read as the whole.
    """
    suffix, head = path.suffix.lower(), _head(path)
    if suffix in _RAW:
        return "raw pictures of cameras are not read", _CONVERT
    kind = None if suffix in _JPEG_STREAMS else _kind(head)
    if kind:
        other = {
            "jpg": f", or to {path.name}.mjpeg if it is a video",
            "tif": f", or {_CONVERT} if it is a camera's raw file",
        }
        return (
            "a picture, but its name does not end like one",
            f"rename it to {path.name}.{kind}{other.get(kind, '')}",
        )
    if suffix in _HEIF or (head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS):
        return "HEIC and AVIF pictures are not read", _CONVERT
    return None


def warn_of_others(folder: Path, paths: list[Path], *, advice: str) -> None:
    """Name the files without a picture's suffix that a folder's user may miss: pictures all the same, videos.

    advice: what is told of videos.
    """
    others: dict[str, list[str]] = {}
    for path in sorted(paths):
        if unread := why_unread(path):
            others.setdefault(unread[0], []).append(f"{path.name} ({unread[1]})")
        elif path.suffix.lower() in _VIDEOS and path.is_file():
            others.setdefault(advice, []).append(path.name)
    for why, names in others.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        log.warning_once(f"{folder}: left out {names[0]}{more}: {why}")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return what sorts names as people do: 2.jpg before 10.jpg."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


def _head(path: Path) -> bytes:
    """Return a file's first bytes; none of a pipe, whose writer would see it closed."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(12)
    except OSError:
        return b""  # whoever reads it says so


def _kind(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff") and head[6:10] in (b"JFIF", b"Exif"):
        return "jpg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "tif"
    return "bmp" if head.startswith(b"BM") and head[6:10] == bytes(4) else None


def is_animated(data: bytes) -> bool:
    """Tell whether a PNG or WebP holds several pictures, of which the first is read."""
    if _kind(data[:12]) == "png":
        return data.find(b"acTL", 0, max(data.find(b"IDAT"), 0)) > 0
    return _kind(data[:12]) == "webp" and data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & 2)


def is_cut_short(data: bytes) -> bool:
    """Tell whether a JPEG, PNG or WebP lacks its end; decoders fill what is missing with grey."""
    if data.startswith(b"\xff\xd8"):
        # The thumbnail inside EXIF has an end marker too: look behind the first start of scan only.
        position = 2
        while position + 4 <= len(data) and data[position] == 0xFF:
            marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
            if marker == 0xDA:
                return data.find(b"\xff\xd9", position + 2 + length) < 0
            position += 1 if marker == 0xFF else 2 + length
        return position + 4 > len(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data.rfind(b"IEND") < 0
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False
