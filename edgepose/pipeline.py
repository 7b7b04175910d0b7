"""Run a bundle on pictures from Python."""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, SupportsFloat

from edgepose.artifact import KeypointSet
from edgepose.bundle.folder import require_bundle
from edgepose.bundle.manifest import head_from_json
from edgepose.core import core_errors, load_core
from edgepose.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_DEFAULT_THREADS = 8
# What whoever asks a bundle without a detector for persons is told where no boxes are given.
WHOLE_PICTURE = "no detector in this bundle: each picture is taken as one person"
_MAX_TIME_S = 9e9  # in nanoseconds it fits 64 bits


@dataclass(frozen=True, slots=True, eq=False)
class PoseFrame:
    """The persons of one picture, N of them, each with K keypoints.

    keypoints (N, K, 3) float32: x px, y px, score (0 for a missing point); boxes (N, 5) float32: x1 y1 x2 y2
    px, score; track_ids (N,) int64, -1 where not tracked; z (N, K) float32 in metres for 3-D networks, else
    None: relative to the middle of the two hips (points 11 and 12), larger is farther; timings_ms:
    milliseconds by stage and "total".
    """

    keypoints: NDArray[np.float32]
    boxes: NDArray[np.float32]
    track_ids: NDArray[np.int64]
    z: NDArray[np.float32] | None
    timings_ms: dict[str, float]

    def __len__(self) -> int:
        return len(self.boxes)


class PosePipeline:
    """A bundle, opened and verified, with its networks loaded; a context manager.

    One instance works on one picture at a time; other Python threads run meanwhile. It belongs to the process
    that opened it.

    track: the pictures are the frames of one video, each with its time_s; persons keep their ids.
    smooth: One Euro filtered keypoints. detect_every: the detector runs on every n-th frame, and where a
    person was lost or the scene changed. detect_delay: above 0 the detector works on a thread of its own,
    beside the poses, and what it finds in a frame counts that many frames later, at most detect_every. Both
    are for bundles of a detector and a pose network: not for RTMO.
    smooth and these two track unless told otherwise. tracking: a "tracking" member in place of the bundle's;
    needed where the bundle has none.

    Errors: BundleError, ConfigurationError (a file that cannot be read), EngineError, MissingDependencyError
    (an engine that this build lacks), UsageError.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        threads: int | None = None,
        device: str = "CPU",
        detect_every: int = 1,
        detect_delay: int = 0,
        track: bool | None = None,
        smooth: bool = False,
        tracking: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            path = Path(bundle)
        except TypeError:
            raise UsageError(f"a bundle is a path, got {type(bundle).__name__}") from None
        require_bundle(path)
        if not isinstance(device, str):
            raise UsageError(f"device is {device!r}", hint="give a name, such as CPU")
        try:
            device.encode()
        except UnicodeEncodeError:
            raise UsageError(f"the device {device!r} is not UTF-8", hint="give a name, such as CPU") from None
        self._threads = default_threads() if threads is None else _whole_number("threads", threads)
        detect_every = _whole_number("detect_every", detect_every)
        detect_delay = _whole_number("detect_delay", detect_delay)
        smooth = _flag("smooth", smooth)
        follows = smooth or detect_every > 1 or detect_delay > 0
        self._track = follows if track is None else _flag("track", track)
        options: dict[str, Any] = {}
        if self._track or smooth or detect_every != 1 or detect_delay != 0:
            options = {
                "detect_every": detect_every,
                "detect_delay": detect_delay,
                "track": self._track,
                "smooth": smooth,
            }
        if tracking is not None:
            options["tracking_json"] = _tracking_json(tracking)
        with core_errors():
            self._core: Any = load_core().Pipeline(
                os.fspath(path), threads=self._threads, device=device, **options
            )
        self._manifest: dict[str, Any] = json.loads(self._core.manifest_json)
        self._points = keypoint_set_of(self._manifest)

    def __enter__(self) -> PosePipeline:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(
        self,
        image: NDArray[Any],
        *,
        boxes: NDArray[np.floating[Any]] | Sequence[Sequence[float]] | None = None,
        time_s: float | None = None,
    ) -> PoseFrame:
        """Find the persons of a picture, (H, W, 3) uint8 BGR.

        boxes (N, 4), x1 y1 x2 y2 px, stand in for the detector. A bundle without a detector takes the whole
        picture as one person where no boxes are given. time_s: when the picture was taken, on any clock;
        with tracking it must rise. Errors: UsageError.
        """
        picture = _picture(image)
        if self._track and time_s is None:
            raise UsageError(
                "a tracked frame needs its time", hint="pass time_s: seconds on any clock, such as i / fps"
            )
        time_ns = 0 if time_s is None else _nanoseconds(time_s)
        box_array = None if boxes is None else _box_array(boxes)
        with core_errors():
            keypoints, found_boxes, track_ids, z, timings_ns = self._open_core().process(
                picture, time_ns, box_array
            )
        timings_ms = {name.removesuffix("_ns"): ns / 1e6 for name, ns in timings_ns.items()}
        return PoseFrame(keypoints, found_boxes, track_ids, z, timings_ms)

    def detect(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return every detection of a picture, (H, W, 3) uint8 BGR, as (M, 6): x1 y1 x2 y2 px, score, label.

        Errors: MissingDependencyError (the bundle has no detector), UsageError.
        """
        picture = _picture(image)
        with core_errors():
            detections: NDArray[np.float32] = self._open_core().detect(picture)
        return detections

    def verify_golden(self) -> dict[str, Any]:
        """Run the bundle's own picture; "passed", and how far the results are from the stored ones (px)."""
        with core_errors():
            return dict(self._open_core().verify_golden())

    def reset(self) -> None:
        """Forget earlier pictures, for example between two videos; ids count from 1 again."""
        with core_errors():
            self._open_core().reset()

    def close(self) -> None:
        """Release the networks; the pipeline cannot be used afterwards."""
        self._core = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PosePipeline cannot be pickled or copied; open one in each process")

    @property
    def manifest(self) -> dict[str, Any]:
        """The bundle's bundle.json."""
        return self._manifest

    @property
    def digest(self) -> str:
        """The SHA-256 that stands for the whole bundle."""
        return str(self._manifest["manifest_sha256"])

    @property
    def name(self) -> str:
        """The bundle's name."""
        return str(self._manifest["name"])

    @property
    def pipeline_type(self) -> str:
        """ "top_down", "pose", "detect" or "one_stage"."""
        return str(self._manifest["pipeline"]["type"])

    @property
    def threads(self) -> int:
        """How many threads the networks use."""
        return self._threads

    @property
    def tracks(self) -> bool:
        """Whether persons are followed from picture to picture."""
        return self._track

    @property
    def keypoint_set(self) -> KeypointSet | None:
        """Names and skeleton of the keypoints; None for a detector alone."""
        return self._points

    @property
    def keypoint_threshold(self) -> float:
        """The score below which the bundle's maker regards a keypoint as not seen."""
        return float(self._manifest["pipeline"].get("keypoint_score_threshold", 0.0))

    def _open_core(self) -> Any:
        if self._core is None:
            raise UsageError("the pipeline is closed")
        return self._core


def default_threads() -> int:
    """Return how many threads a pipeline uses unless told: the processors of this process, at most 8."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        available = os.cpu_count() or 1
    return max(1, min(MAX_DEFAULT_THREADS, available))


def keypoint_set_of(manifest: dict[str, Any]) -> KeypointSet | None:
    """Return the keypoints that a manifest describes; None for a detector alone."""
    for role in ("pose", "one_stage"):
        if role in manifest["models"]:
            points: KeypointSet | None = getattr(
                head_from_json(manifest["models"][role]["head"]), "points", None
            )
            return points
    return None


def box_class_of(manifest: dict[str, Any]) -> str | None:
    """Return what the detector before a pose network looks for; None where there is none."""
    if "detector" not in manifest["models"]:
        return None
    classes: list[str] = manifest["models"]["detector"]["head"]["classes"]
    return classes[int(manifest["pipeline"]["person_label"])]


def _whole_number(name: str, value: Any) -> int:
    """Return a 32-bit integer; which of them are allowed, the runtime says."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}", hint="give a whole number") from None
    if abs(number) >= 2**31:
        raise UsageError(f"{name} is {number}", hint="give a smaller number")
    return number


def _flag(name: str, value: Any) -> bool:
    import numpy as np

    if not isinstance(value, (bool, np.bool_)):
        raise UsageError(f"{name} is {value!r}", hint="give True or False")
    return bool(value)


def _tracking_json(tracking: Any) -> str:
    if not isinstance(tracking, Mapping):
        raise UsageError(f"tracking is a mapping of settings, got {type(tracking).__name__}")
    try:
        return json.dumps(dict(tracking), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"tracking holds what JSON cannot ({error})", hint="use float() and int()"
        ) from error


def _nanoseconds(time_s: Any) -> int:
    kind = getattr(getattr(time_s, "dtype", None), "kind", None)
    if kind is not None and kind in "mM":  # NumPy's times, whose float() counts their own unit
        raise UsageError(
            f"time_s is {time_s!r}", hint="pass seconds: (stamp - first) / numpy.timedelta64(1, 's')"
        )
    try:
        seconds = float(time_s) if isinstance(time_s, SupportsFloat) else math.nan
    except (TypeError, ValueError, OverflowError):  # an array of several, a number beyond all floats
        seconds = math.nan
    if not abs(seconds) < _MAX_TIME_S:
        raise UsageError(f"time_s is {time_s!r}", hint="pass seconds on any clock")
    return round(seconds * 1e9)


def _picture(image: Any) -> NDArray[np.uint8]:
    """Return a picture as the runtime takes it. Errors: UsageError, with what turns it into one."""
    import numpy as np

    is_array = isinstance(image, np.ndarray)
    if is_array and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return np.ascontiguousarray(image)
    hint = None
    if image is None:
        hint = "cv2.imread gives None for a file that it cannot read"
    elif isinstance(image, (str, os.PathLike)):
        hint = "read the file first: cv2.imread(path)"
    elif is_array and image.dtype != np.uint8:
        hint = "give values of 0 to 255 as uint8"
    elif is_array and (image.ndim == 2 or image.shape[2:] == (1,)):
        hint = "a grey picture becomes one with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)"
    elif is_array and image.shape[2:] == (4,):
        hint = "a picture with an alpha channel becomes one with cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)"
    found = f"{image.dtype} {image.shape}" if is_array else type(image).__name__
    raise UsageError(f"a picture is a uint8 array (H, W, 3) in BGR order, got {found}", hint=hint)


def _box_array(boxes: Any) -> NDArray[np.float32]:
    import numpy as np

    try:
        with np.errstate(over="ignore"):  # what is too large is refused below
            array = np.ascontiguousarray(boxes, dtype=np.float32)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # the last of torch, for gradients
        raise UsageError(f"boxes are not numbers in rows of four ({error})") from error
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise UsageError(
            f"boxes have the shape {array.shape}, not (N, 4)", hint="a box is x1, y1, x2, y2 in px"
        )
    wrong = ~np.isfinite(array).all(axis=1) | (array[:, 2] <= array[:, 0]) | (array[:, 3] <= array[:, 1])
    if wrong.any():
        raise UsageError(
            f"box {int(wrong.argmax())} is empty or not finite: {array[wrong.argmax()].tolist()}",
            hint="a box is x1, y1, x2, y2 in px, with x1 < x2 and y1 < y2",
        )
    return array
