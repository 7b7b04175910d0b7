"""Write results as OpenPose JSON (version 1.3), which pose editors and ControlNet front ends read.

Source of the orders: OpenPose 1.7, doc/02_output.md (BODY_25, COCO, face and hand formats). As in DWPose's
own tools, whole-body results give the 18 COCO points, and the pupils of the face are the body's eyes.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from edgepose.artifact import USUAL_KEYPOINT_SCORE, KeypointSet
from edgepose.errors import UsageError
from edgepose.paths import usual_mode
from edgepose.writers import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_ARM_POINTS = ("shoulder", "elbow", "wrist")
_LEG_POINTS = ("hip", "knee", "ankle")
_HEAD = ("right_eye", "left_eye", "right_ear", "left_ear")
_RIGHT_ARM, _LEFT_ARM = ([f"{side}_{point}" for point in _ARM_POINTS] for side in ("right", "left"))
_RIGHT_LEG, _LEFT_LEG = ([f"{side}_{point}" for point in _LEG_POINTS] for side in ("right", "left"))
_FEET = [f"{side}_{point}" for side in ("left", "right") for point in ("big_toe", "small_toe", "heel")]
BODY_18 = ("nose", "neck", *_RIGHT_ARM, *_LEFT_ARM, *_RIGHT_LEG, *_LEFT_LEG, *_HEAD)
BODY_25 = ("nose", "neck", *_RIGHT_ARM, *_LEFT_ARM, "hip", *_RIGHT_LEG, *_LEFT_LEG, *_HEAD, *_FEET)
_FACE_70 = (*(f"face-{n}" for n in range(68)), "right_eye", "left_eye")
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_MISSING = (0.0, 0.0, 0.0)


class OpenPoseLayout:
    """Which keypoint of a set goes where in OpenPose's arrays.

    halpe26 gives BODY_25, other sets with COCO's names BODY_18: the neck is the middle of the shoulders,
    with the lower of their scores. Errors: UsageError (a set without COCO's body).
    """

    def __init__(self, points: KeypointSet) -> None:
        index = {name: number for number, name in enumerate(points.keypoints)}
        body = BODY_25 if all(name in index for name in BODY_25) else BODY_18
        missing = [name for name in body if name not in index and name != "neck"]
        if missing:
            raise UsageError(
                f"OpenPose JSON needs COCO's body points, and {points.name} has no {missing[0]}",
                hint="use a network with coco17, halpe26 or wholebody133 keypoints, or another format",
            )
        self._index = index
        self.body = body
        self.face, *hands = (
            names if all(name in index for name in names) else ()
            for names in (_FACE_70, _hand("left"), _hand("right"))
        )
        self.hands = dict(zip(("left", "right"), hands, strict=True))

    def person(
        self, keypoints: Floats, *, score_threshold: float, score_scale: float = 1.0, track_id: int = -1
    ) -> dict[str, Any]:
        """Compose one member of "people"; points below the threshold become zeros, as in OpenPose.

        score_scale: what a score times it is the confidence, which ends at 1.
        """
        points = [_point(x, y, score, score_threshold, score_scale) for x, y, score in keypoints.tolist()]

        def flat(names: Sequence[str]) -> list[float]:
            return [number for name in names for number in self._get(name, points)]

        return {
            "person_id": [track_id],
            "pose_keypoints_2d": flat(self.body),
            "face_keypoints_2d": flat(self.face),
            "hand_left_keypoints_2d": flat(self.hands["left"]),
            "hand_right_keypoints_2d": flat(self.hands["right"]),
            **{f"{part}_keypoints_3d": [] for part in ("pose", "face", "hand_left", "hand_right")},
        }

    def _get(self, name: str, points: list[tuple[float, float, float]]) -> tuple[float, float, float]:
        if name in self._index:
            return points[self._index[name]]
        left, right = (points[self._index[f"{side}_shoulder"]] for side in ("left", "right"))
        if not left[2] or not right[2]:
            return _MISSING
        middle = (round((left[0] + right[0]) / 2, 3), round((left[1] + right[1]) / 2, 3))
        return (*middle, min(left[2], right[2]))


class OpenPoseWriter:
    """Write frames as they come; a context manager.

    A path that ends with .json becomes one file: one frame as an object, several as a list of objects. Any
    other path becomes a folder with one file a frame, named as OpenPose does (photo_keypoints.json,
    video_000000000012_keypoints.json). Either appears complete or not at all; in a folder that exists, files
    of the same names are replaced. Beside OpenPose's members a frame has canvas_width and canvas_height.

    seen_score: the bundle's keypoint score threshold. A confidence of 0.3 stands for it, whatever scale the
    network's scores have.
    """

    def __init__(
        self,
        path: Path,
        *,
        points: KeypointSet,
        score_threshold: float,
        seen_score: float = USUAL_KEYPOINT_SCORE,
    ) -> None:
        self.path = path
        self._layout = OpenPoseLayout(points)
        self._threshold = score_threshold
        self._scale = USUAL_KEYPOINT_SCORE / seen_score if seen_score else 1.0
        self._frames = 0
        self._frame: dict[str, Any] | None = None
        self._name = ""
        self._stack = ExitStack()
        self._sink: _OneFile | _Folder = _OneFile() if path.suffix.lower() == ".json" else _Folder()

    def __enter__(self) -> OpenPoseWriter:
        self._sink.open(self.path, self._stack)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                raise error  # for the stack, which removes what is there and names the file of a full disk
            self._flush()
            self._sink.finish()

    def add_image(self, file_name: str, *, width_px: int, height_px: int) -> int:
        """Begin the next frame and return its id, counting from 1."""
        self._flush()
        self._frames += 1
        self._name = file_name
        self._frame = {"version": 1.3, "people": [], "canvas_width": width_px, "canvas_height": height_px}
        return self._frames

    def add_person(self, image_id: int, keypoints: Floats, *, track_id: int = -1) -> None:
        """Add one person of the current frame: keypoints (K, 3) x px, y px, score."""
        assert self._frame is not None and image_id == self._frames, "persons follow their image"
        person = self._layout.person(
            keypoints, score_threshold=self._threshold, score_scale=self._scale, track_id=int(track_id)
        )
        self._frame["people"].append(person)

    def _flush(self) -> None:
        if self._frame is not None:
            self._sink.put(self._name, json.dumps(self._frame, allow_nan=False, separators=(",", ":")))
        self._frame = None


def _hand(side: str) -> tuple[str, ...]:
    fingers = (f"{side}_{finger}{joint}" for finger in _FINGERS for joint in range(1, 5))
    return (f"{side}_hand_root", *fingers)


def _point(x: float, y: float, score: float, threshold: float, scale: float) -> tuple[float, float, float]:
    if not (math.isfinite(x) and math.isfinite(y) and score > 0 and score >= threshold):
        return _MISSING
    return round(x, 3), round(y, 3), round(min(score * scale, 1.0), 5)


def _file_name(frame_name: str) -> str:
    """Name a frame's file: frames of a video are called video.avi#12."""
    video = re.fullmatch(r"(.*)#(\d+)", frame_name)
    stem = f"{Path(video[1]).stem}_{int(video[2]):012d}" if video else Path(frame_name).stem
    return f"{stem}_keypoints.json"


class _OneFile:
    def __init__(self) -> None:
        self._stream: TextIO | None = None
        self._first = "[]"
        self._count = 0

    def open(self, path: Path, stack: ExitStack) -> None:
        temporary = stack.enter_context(atomic_path(path))
        self._stream = stack.enter_context(temporary.open("w", encoding="utf-8"))

    def put(self, name: str, text: str) -> None:
        if self._count == 0:
            self._first = text
        else:
            self._write(f"[{self._first},\n{text}" if self._count == 1 else f",\n{text}")
        self._count += 1

    def finish(self) -> None:
        self._write("]\n" if self._count > 1 else f"{self._first}\n")

    def _write(self, text: str) -> None:
        assert self._stream is not None, "use the writer in a with statement"
        self._stream.write(text)


class _Folder:
    def __init__(self) -> None:
        self._temporary = Path()
        self._names: set[str] = set()

    def open(self, path: Path, stack: ExitStack) -> None:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file", hint="name a folder, or a file that ends with .json")
        self._temporary = stack.enter_context(_atomic_files(path))

    def put(self, name: str, text: str) -> None:
        file_name = _file_name(name)
        if file_name in self._names:  # photo.jpg and photo.png
            file_name = f"{name.replace('#', '_')}_keypoints.json"
        self._names.add(file_name)
        (self._temporary / file_name).write_text(text + "\n", encoding="utf-8")

    def finish(self) -> None:
        return None


@contextmanager
def _atomic_files(folder: Path) -> Iterator[Path]:
    """Give a temporary folder whose files move to `folder` at the end, or vanish after an error."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        temporary.chmod(usual_mode())
        yield temporary
        if not folder.exists():
            temporary.rename(folder)
            return
        for path in sorted(temporary.iterdir()):
            path.replace(folder / path.name)
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(temporary)):
            raise OSError(error.errno, error.strerror or str(error), str(folder)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
