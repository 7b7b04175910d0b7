"""Write pictures, videos and other files so that they appear complete or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.errors import ConfigurationError, UsageError
from edgepose.media import JPEG_SUFFIXES, cv2_reason, load_cv2, require_utf8

if TYPE_CHECKING:
    from edgepose.media import Image

_SPACE_CHECK_FRAMES = 32
_SPACE_KEPT_BYTES = 4 << 20
_MAX_TIME_BASE = 65535  # MPEG-4 divides a second into so many parts at most
# Behind these names may lie a regular file, opened by the shell, that must not get another one in its place.
_OPEN_FILE = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/(self|\d+)/fd/\d+")


def is_stream(path: Path) -> bool:
    """Say whether a path is a device, a pipe or one of this process's open files: it is written in place."""
    if _OPEN_FILE.fullmatch(os.path.abspath(path)):  # noqa: PTH100  # resolve() would follow the link
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which becomes `path` at the end, or vanishes after an error.

    A link is followed: what it names is replaced. A device or a pipe cannot be replaced and is given itself.
    The suffix is kept, since encoders choose the format by it. An OSError without a file name gets this one.
    """
    if is_stream(path):
        try:
            yield path
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), error.filename or str(path)) from error
        return
    target = Path(os.path.realpath(path))
    # Without the name itself, which may be as long as a name can be.
    temporary = target.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(temporary):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        with suppress(OSError):  # where it could not be made, that is the error
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically; the reader of a pipe may leave early.

    A byte of a file name that is not UTF-8 becomes \\udcXX: in JSON the escape of what Python makes of it.
    """
    with atomic_path(path) as temporary, suppress(BrokenPipeError):
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_picture(path: Path, image: Image, *, jpeg_quality: int = 92) -> None:
    """Encode a BGR picture in the format of the path's suffix and write it atomically."""
    cv2 = load_cv2()
    suffix = path.suffix.lower()
    options: list[int] = []
    if suffix in JPEG_SUFFIXES:
        suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]  # OpenCV knows no .jfif
    elif suffix == ".pgm":
        suffix = ".ppm"  # PGM has no colours; readers go by the content
    try:
        encoded, data = cv2.imencode(suffix, image, options)
    except cv2.error as error:
        raise UsageError(f"{path}: cannot encode this format ({cv2_reason(error)})") from error
    if not encoded:
        raise UsageError(f"{path}: cannot encode this format", hint="use .jpg or .png")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


@contextmanager
def open_video(path: Path, *, fps: float) -> Iterator[VideoWriter]:
    """Give a writer of an .mp4 (MPEG-4 part 2), which has its name only once it is complete.

    After an error or Ctrl-C nothing is left. Raises ConfigurationError when the file lacks a frame.
    """
    if is_stream(path):
        raise UsageError(
            f"{path}: a video needs a file, this is a device or a pipe",
            hint="name a file that ends with .mp4",
        )
    require_utf8(Path(os.path.realpath(path)))
    with atomic_path(path) as temporary:
        temporary.touch()
        writer = VideoWriter(path, temporary, fps)
        try:
            yield writer
        finally:
            writer.release()
        writer.check_complete()


class VideoWriter:
    """Encode frames; an odd width or height loses its last column or row, which the encoder cannot store."""

    def __init__(self, path: Path, temporary: Path, fps: float) -> None:
        self.frames = 0
        self._path = path
        self._temporary = temporary
        # OpenCV takes the rate times a power of ten as the time base.
        digits = next((d for d in (3, 2, 1) if fps * 10**d <= _MAX_TIME_BASE), 0)
        self._fps = round(fps, digits)
        self._writer: Any = None
        self._size_wh = (0, 0)
        self._last: Image | None = None

    def write(self, image: Image, *, time_s: float | None = None) -> None:
        """Append a BGR frame; all have the size of the first.

        time_s: when it came; the frame before is repeated until then, and one that comes too early is left
        out, so that the video keeps the time of a source that delivers fewer frames than fps, or more.
        """
        if time_s is not None and self._last is not None:
            while self.frames < round(time_s * self._fps):
                self._append(self._last)
        if time_s is None or self.frames <= round(time_s * self._fps):
            self._append(image)
        self._last = image if time_s is not None else None

    def _append(self, image: Image) -> None:
        import numpy as np

        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        if self._writer is None:
            self._open(width, height)
        if (width, height) != self._size_wh:
            raise UsageError(
                f"{self._path}: frame {self.frames} is {width}x{height}, unlike those before it",
                hint="the input changes its size in the middle",
            )
        if self.frames % _SPACE_CHECK_FRAMES == 0:
            self._check_space()
        self._writer.write(np.ascontiguousarray(image[:height, :width]))
        self.frames += 1

    def release(self) -> None:
        """Finish the file; nothing can be written afterwards."""
        if self._writer is not None:
            self._writer.release()

    def _open(self, width: int, height: int) -> None:
        cv2 = load_cv2()
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._temporary), cv2.CAP_FFMPEG, code, self._fps, (width, height))
        self._size_wh = (width, height)
        if not self._writer.isOpened():
            raise ConfigurationError(
                f"{self._path}: cannot write a video of {width}x{height} at {self._fps:g} frames a second",
                hint="check the folder; `edgepose run --no-draw` writes the results without a video",
            )

    def _check_space(self) -> None:
        # The encoder swallows write errors: a full disk must be noticed here.
        if shutil.disk_usage(self._temporary.parent).free < _SPACE_KEPT_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def check_complete(self) -> None:
        """Count the frames of the finished file; the encoder says nothing when the disk is full."""
        if self._writer is None:
            raise UsageError(f"{self._path}: there was not one frame to write")
        cv2 = load_cv2()
        written = cv2.VideoCapture(str(self._temporary))
        count = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if count != self.frames:
            self._check_space()
            raise ConfigurationError(
                f"{self._path}: the video holds {count} of {self.frames} frames", hint="is the disk full?"
            )
