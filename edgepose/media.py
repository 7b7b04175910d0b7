"""Read pictures, folders, videos, cameras and network streams as frames."""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from edgepose import log
from edgepose.errors import ConfigurationError, MissingDependencyError, UsageError
from edgepose.paths import refuse_lfs_pointer
from edgepose.picture_files import is_animated, is_cut_short, natural_key, warn_of_others, why_unread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

Kind = Literal["pictures", "video", "camera"]

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
PICTURE_SUFFIXES = (*JPEG_SUFFIXES, ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2", ".ppm", ".pgm")
_WITH_RATE = (".mp4", ".m4v", ".mov", ".avi")  # these state a rate, and 1000 is one
_CAMERA_DIGITS = 3
_STREAM = re.compile(r"(rtsps?|rtmps?|https?|udp|tcp|rtp|srt)://", re.IGNORECASE)
_STREAM_TIMEOUT_MS = 10_000
_STREAM_NAME = 100  # characters of a stream's name, which files get
_FLEETING = re.compile(
    r"token|auth|sig|exp|key|pass|pwd|user|login|session|sid|secret|nonce|time|^ts$|policy|hdn", re.IGNORECASE
)
_QUERY_DIGITS = 4  # tell channels apart
_FAILED_READS = 100  # so many in a row are the end, of a file not before the frames that it claims
_NO_FRAME_S = 10.0
_SQUARE = 0.01  # 854x480 is 1280:1281
MAX_SIDE_PX = 32767  # what the runtime takes: image.cpp


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded picture, (H, W, 3) uint8 BGR; index counts from 0, time_ns from the first frame."""

    image: Image
    index: int
    name: str
    time_ns: int


class Source(Protocol):
    """Where frames come from. frame_count is what the input claims to hold, None when unknown."""

    name: str
    frame_count: int | None
    fps: float | None
    unreadable: list[str]

    @property
    def kind(self) -> Kind: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


def open_source(target: str) -> Source:
    """Open a picture, a folder of pictures, a video, or what is live: a camera (0, /dev/video0), rtsp://...

    Raises UsageError for what is missing, empty or of no known kind; ConfigurationError for a camera or a
    stream that cannot be opened.
    """
    if _STREAM.match(target):
        return CameraSource(target)
    path = Path(target)
    if path.is_char_device():
        return CameraSource(target)
    if target.isdecimal() and not path.exists():
        if len(target) > _CAMERA_DIGITS:
            raise UsageError(f"{target}: no camera has this number", hint="the first camera is 0")
        return CameraSource(int(target))
    if path.is_dir():
        pictures = list_pictures(path, advice="videos are given one by one")
        return PictureSource(pictures, name=path.resolve().name)
    if not path.exists():
        raise UsageError(
            f"{target}: no such file or folder",
            hint="give a picture, a folder of pictures, a video, a camera's number such as 0, or rtsp://...",
        )
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource([path], name=path.stem)
    if unread := why_unread(path):
        raise UsageError(f"{path}: {unread[0]}", hint=unread[1])
    return VideoSource(path)


def require_utf8(path: Path) -> None:
    """Refuse a path whose bytes are no UTF-8: OpenCV and the compiled core cannot take it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{path}: the name is not UTF-8", hint="rename the file or folder") from None


def is_pictures(target: str) -> bool:
    """Tell whether open_source would read pictures, not a video or a camera."""
    path = Path(target)
    return path.is_dir() or (path.suffix.lower() in PICTURE_SUFFIXES and not _STREAM.match(target))


def list_pictures(folder: Path, *, advice: str = "videos are not read here") -> list[Path]:
    """List the pictures of a folder, not of its sub-folders, in natural order: 2.jpg before 10.jpg.

    advice: what is told of videos. Errors: UsageError where there are no pictures.
    """
    # A Mac leaves a ._1.jpg beside 1.jpg on other disks, which is no picture.
    inside = [path for path in folder.iterdir() if not path.name.startswith("._")]
    # A link to nothing is a picture that cannot be read, which the reader says.
    found = [
        p
        for p in inside
        if p.suffix.lower() in PICTURE_SUFFIXES and (p.is_file() or (p.is_symlink() and not p.exists()))
    ]
    others = [path for path in inside if path.suffix.lower() not in PICTURE_SUFFIXES]
    warn_of_others(folder, others, advice=advice)
    if not found:
        inner = folder / "images"  # as of edgepose synth and of COCO
        looked_for = f"looked for {', '.join(PICTURE_SUFFIXES)}; {advice}"
        hint = f"its pictures seem to lie in {inner}" if inner.is_dir() else looked_for
        raise UsageError(f"{folder}: no pictures in this folder", hint=hint)
    return sorted(found, key=lambda p: natural_key(p.name))


def read_picture(path: Path) -> Image:
    """Decode a picture to (H, W, 3) uint8 BGR, turned as its EXIF orientation says.

    Errors: UsageError (no picture, cut short, or too large for the runtime), OSError (cannot be read).
    """
    import numpy as np

    data = path.read_bytes()
    hint = "export it again, or leave it out"
    if not data or is_cut_short(data):
        what = "cut short" if data else "empty"
        raise UsageError(f"{path}: the picture is {what} ({len(data)} bytes)", hint=hint)
    cv2 = load_cv2()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise UsageError(f"{path}: cannot decode the picture ({cv2_reason(error)})", hint=hint) from error
    if image is None:
        refuse_lfs_pointer(path)
        raise UsageError(f"{path}: not a picture that can be decoded", hint=hint)
    if max(image.shape[:2]) > MAX_SIDE_PX:
        raise UsageError(
            f"{path}: the picture has {image.shape[1]}x{image.shape[0]} pixels (width x height)",
            hint=f"at most {MAX_SIDE_PX} a side are accepted: make it smaller",
        )
    if is_animated(data):
        log.warning_once(f"{path}: an animation, of which the first picture is read")
    picture: Image = np.ascontiguousarray(image)
    return picture


class PictureSource:
    """Pictures in a given order. In a folder an unreadable one is reported and left out."""

    kind: Literal["pictures"] = "pictures"

    def __init__(self, paths: list[Path], *, name: str) -> None:
        self.name = name
        self.frame_count: int | None = len(paths)
        self.fps: float | None = None
        self.unreadable: list[str] = []
        self.paths = paths

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            try:
                image = read_picture(path)
            except (UsageError, OSError) as error:
                if len(self.paths) == 1:
                    raise
                self.unreadable.append(path.name)
                log.warning(f"left out: {error}")
                continue
            yield Frame(image, index, path.name, 0)

    def close(self) -> None:
        """Do nothing; pictures are not kept open."""


class VideoSource:
    """The frames of a video file, turned upright where it says how; time stamps are the container's.

    All have the size of the first: OpenCV stretches frames of another size, and has no property that tells.
    """

    kind: Literal["video"] = "video"

    def __init__(self, path: Path) -> None:
        cv2 = load_cv2()
        if path.is_file():  # whoever writes into a pipe would see it closed
            with path.open("rb"):
                pass  # a permission problem becomes an OSError that names the file
        require_utf8(path.absolute())
        self._path = path
        # Absolute: of a relative 12:30.avi ffmpeg takes "12" for a protocol.
        self._capture = cv2.VideoCapture(str(path.absolute()))
        if not self._capture.isOpened():
            raise UsageError(
                f"{path}: cannot be read as a video",
                hint="it may be cut short or of an unknown format; ffmpeg can often repair or convert it",
            )
        self.name = path.stem
        self.unreadable: list[str] = []
        self.fps = _stated_rate(self._capture, ticks=path.suffix.lower() not in _WITH_RATE)
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # Some containers hold no count: it is then what the rate makes of the length.
        is_count = self.fps is not None and math.isfinite(count) and 0 < count < 1e9
        self.frame_count = int(count) if is_count else None

    def __iter__(self) -> Iterator[Frame]:
        cv2 = load_cv2()
        index, seen, last_ns, first_ms = 0, 0, -1, 0.0
        for skipped, image in _decoded(self._capture, str(self._path), claimed=self.frame_count or 0):
            if index == 0:
                self._warn_of_pixels()
            steps, seen = index + skipped + 1 - seen, index + skipped + 1
            stamp_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            if index == 0 and math.isfinite(stamp_ms):
                first_ms = stamp_ms  # above 0 where frames before it could not be decoded
            time_ns = round((stamp_ms - first_ms) * 1e6) if math.isfinite(stamp_ms) else -1
            if time_ns <= last_ns:  # no usable stamp: count on from the last one
                time_ns = last_ns + steps * round(1e9 / (self.fps or 30.0)) if index else 0
            last_ns = time_ns
            yield Frame(image, index, f"{self._path.name}#{index}", time_ns)
            index += 1
        if index == 0:
            code = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
            codec = code.to_bytes(4, "little").decode("latin-1")
            raise UsageError(
                f"{self._path}: not one frame can be decoded (codec {codec!r})",
                hint="the video is damaged, or OpenCV has not its codec, as of AV1: "
                "ffmpeg -i IN -c:v libx264 OUT.mp4 brings it to another one",
            )
        if self.frame_count and self.fps:
            # Of a varying rate the count may be a guess: then the last time stamp says whether the end came.
            by_time = 1 + (first_ms / 1e3 + last_ns / 1e9) * self.fps
            lacking = self.frame_count - max(seen, by_time)
            allowed = self.frame_count // 50
            if self._path.suffix.lower() in _WITH_RATE:  # others count to the end of their sound
                allowed = min(allowed, round(self.fps))
            if lacking > max(2, allowed):
                log.warning(
                    f"{self._path}: {index} of {self.frame_count} frames came: trimmed, cut short or damaged"
                )

    def _warn_of_pixels(self) -> None:
        cv2 = load_cv2()
        across, down = (self._capture.get(what) for what in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
        if across > 0 and down > 0 and abs(across / down - 1) > _SQUARE:
            log.warning_once(
                f"{self._path}: its pixels are not square ({across:g}:{down:g}), and are taken as they are "
                "stored: ffmpeg -i IN -vf 'scale=trunc(iw*sar/2)*2:ih,setsar=1' OUT.mp4 makes them square"
            )

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


def _stated_rate(capture: Any, *, ticks: bool) -> float | None:
    """Return a video's frames a second; None for none, or where 1000 may be the clock's ticks, as in WebM."""
    fps = float(capture.get(load_cv2().CAP_PROP_FPS))
    return fps if math.isfinite(fps) and 0 < fps <= 1000 and not (ticks and fps == 1000) else None


class CameraSource:
    """Frames of a camera or a network stream, until closed; time stamps are those of their arrival."""

    kind: Literal["camera"] = "camera"

    def __init__(self, address: int | str) -> None:
        """Open a camera by number or device file, or a stream by its URL."""
        cv2 = load_cv2()
        self.frame_count: int | None = None
        self.unreadable: list[str] = []
        if isinstance(address, str) and _STREAM.match(address):
            self.name, shown = _name_of_stream(address)
            limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
            options = [value for limit in limits for value in (limit, _STREAM_TIMEOUT_MS)]
            self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, options)
            hint = "check the address, user and password, and that this machine reaches it; ffprobe says more"
        else:
            self.name = f"camera{address}" if isinstance(address, int) else Path(address).name
            shown = f"camera {address}"
            backend = cv2.CAP_ANY if isinstance(address, int) else cv2.CAP_V4L2
            self._capture = cv2.VideoCapture(address, backend)
            hint = "check that it is there (ls /dev/video*), that you may use it, and that it is free"
        if not self._capture.isOpened():
            raise ConfigurationError(f"{shown} cannot be opened", hint=hint)
        if shown.startswith("http") and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            # Its frames would come as fast as the line is, and that is no time to smooth by.
            self._capture.release()
            raise UsageError(f"{shown}: a video file, not a live stream", hint="download it first")
        self.fps: float | None = _stated_rate(self._capture, ticks=True)

    def __iter__(self) -> Iterator[Frame]:
        index, start_ns = 0, 0
        for _, image in _decoded(self._capture, self.name, wait_s=_NO_FRAME_S):
            now_ns = time.monotonic_ns()
            start_ns = start_ns or now_ns
            yield Frame(image, index, f"{self.name}#{index}", now_ns - start_ns)
            index += 1
        if index == 0:
            raise ConfigurationError(f"{self.name} delivers no frames", hint="is it in use elsewhere?")
        log.warning(f"{self.name}: no more frames after {index}")

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


def _decoded(
    capture: Any, name: str, *, wait_s: float = math.inf, claimed: int = 0
) -> Iterator[tuple[int, Image]]:
    """Give the frames that can be decoded, each with the number of those before it that cannot.

    OpenCV fails alike at one damaged frame, behind which it reads on, and at the end. claimed: so many frames
    are looked for, however many in a row are damaged.
    """
    given = skipped = failed = 0
    last_s = time.monotonic()
    try:
        while True:
            waited_s = time.monotonic() - last_s if failed else 0.0
            is_early = given + skipped + failed < claimed and waited_s < _NO_FRAME_S  # the claim may be wrong
            if not is_early and (failed >= _FAILED_READS or waited_s >= wait_s):
                return
            read, image = capture.read()
            if not read:
                failed += 1
                continue
            given, skipped, failed = given + 1, skipped + failed, 0
            yield skipped, image
            last_s = time.monotonic()
    finally:
        if skipped:
            log.warning(f"{name}: left out {skipped} damaged frame{'s' * (skipped != 1)}")


def load_cv2() -> Any:
    """Import OpenCV with its own messages switched off: failures are reported as errors here.

    Errors: MissingDependencyError where it is there and cannot be loaded.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    try:
        import cv2
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        # A second distribution of OpenCV writes over the first, and its window functions need a desktop.
        raise MissingDependencyError(
            f"OpenCV cannot be loaded ({error})",
            hint="install one distribution alone: pip uninstall -y opencv-python opencv-contrib-python; "
            "pip install --force-reinstall opencv-python-headless",
        ) from error
    return cv2


def _name_of_stream(url: str) -> tuple[str, str]:
    """Return a name for files, and the address as it may be shown: without user, password and tokens.

    A password may hold all that parts an address elsewhere: rather too much is left out than too little.
    """
    scheme, _, rest = url.partition("://")
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    query = rest[len(path) :]
    host = path.partition("/")[0]
    # Where an @ may be a query's, only what is surely a host and its port stands before it.
    sure = re.fullmatch(r"[^@:]*|(localhost|[^@:]*\.[^@:]*|\[[^@]*\])(:\d+)?", host)
    if "@" in rest and (not sure or "@" in path):
        behind = rest.rpartition("@")[2]
        path = re.split(r"[?#&=;]", behind, maxsplit=1)[0]
        query = behind[len(path) :]
    name = re.sub(r"[^\w.]+", "-", path).strip("-.")[:_STREAM_NAME] or "stream"
    # A recorder's channels may differ in the query alone; secrets in it, and times, are new each time.
    members = (member for member in re.split(r"[?#&;]", query) if member)
    channel = "&".join(member for member in members if not _FLEETING.search(member.partition("=")[0]))
    if channel:
        name += f"-{hashlib.sha256(channel.encode(errors='surrogateescape')).hexdigest()[:_QUERY_DIGITS]}"
    return name, f"{scheme}://{path}"


def cv2_reason(error: Exception) -> str:
    """Return what an OpenCV exception says, on one short line."""
    text = str(getattr(error, "err", "") or error)
    return " ".join(text.split())[:120]
