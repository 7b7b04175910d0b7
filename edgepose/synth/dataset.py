"""Write synthetic pictures and a video with their COCO annotations: a complete folder, or nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.errors import ConfigurationError, EdgePoseError, UsageError
from edgepose.media import require_utf8
from edgepose.paths import usual_mode
from edgepose.progress import Progress
from edgepose.synth.annotate import coco_annotation, coco_document
from edgepose.synth.scene import SyntheticImage, render_scene
from edgepose.synth.video import render_video
from edgepose.writers import atomic_path, open_video, write_picture

ANNOTATIONS_NAME = "annotations.json"
VIDEO_NAME = "video.mp4"
VIDEO_ANNOTATIONS_NAME = "video.json"
VIDEO_FPS = 30.0


@dataclass(frozen=True, slots=True)
class DatasetRequest:
    """What to render: pictures, seconds of video, and for both the size, range of persons and seed.

    shot: one of edgepose.synth.scene.SHOTS for all pictures; None draws one for each.
    """

    images: int
    video_s: float
    seed: int
    size_hw: tuple[int, int]
    persons: tuple[int, int]
    picture_suffix: str = ".png"
    shot: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """The files that were written (None where there is none) and how much they hold."""

    folder: Path
    annotations: Path | None
    video: Path | None
    video_annotations: Path | None
    images: int
    frames: int
    persons: int
    keypoints: int


def write_dataset(out: Path, request: DatasetRequest) -> Dataset:
    """Render the pictures and the video into the folder `out`, which must not exist or be empty.

    The folder appears under its name when it is complete. Errors: UsageError where something lies already,
    OSError and ConfigurationError where it cannot be written.
    """
    if request.video_s:
        require_utf8(out.absolute())
    with _staged(out) as folder:
        images = frames = persons = keypoints = 0
        stages = int(request.images > 0) + int(request.video_s > 0)
        with Progress("synth", stages=stages, unit="images") as progress:
            if request.images:
                progress.stage("pictures", total=request.images)
                images, document = request.images, _write_pictures(folder, request, progress)
                persons, keypoints = _count(document)
            if request.video_s:
                progress.stage("video", total=round(request.video_s * VIDEO_FPS))
                document = _write_video(folder, request, progress)
                frames = len(document["images"])
                more = _count(document)
                persons, keypoints = persons + more[0], keypoints + more[1]
    return Dataset(
        folder=out,
        annotations=out / ANNOTATIONS_NAME if request.images else None,
        video=out / VIDEO_NAME if request.video_s else None,
        video_annotations=out / VIDEO_ANNOTATIONS_NAME if request.video_s else None,
        images=images,
        frames=frames,
        persons=persons,
        keypoints=keypoints,
    )


def picture_seed(seed: int, index: int) -> int:
    """Return the seed of the index-th picture, which is the same however many pictures there are."""
    return seed * 1_000_003 + index


def _write_pictures(folder: Path, request: DatasetRequest, progress: Progress) -> dict[str, Any]:
    (folder / "images").mkdir()
    asked = {"persons": list(request.persons)} | ({"shot": request.shot} if request.shot else {})
    document = coco_document(request.seed, asked)
    for index in range(request.images):
        picture = render_scene(
            picture_seed(request.seed, index),
            size_hw=request.size_hw,
            persons=request.persons,
            shot=request.shot,
        )
        name = f"images/{index:06d}{request.picture_suffix}"
        write_picture(folder / name, picture.image, jpeg_quality=95)
        _add(document, picture, {"file_name": name, "seed": picture.seed}, tracks=False)
        progress.advance()
    _write_json(folder / ANNOTATIONS_NAME, document)
    return document


def _write_video(folder: Path, request: DatasetRequest, progress: Progress) -> dict[str, Any]:
    height, width = (side // 2 * 2 for side in request.size_hw)
    document = coco_document(request.seed, {"fps": VIDEO_FPS})
    document["videos"] = [
        {"id": 1, "file_name": VIDEO_NAME, "fps": VIDEO_FPS, "width": width, "height": height}
    ]
    frames = render_video(
        request.seed, seconds=request.video_s, fps=VIDEO_FPS, size_hw=(height, width), persons=request.persons
    )
    with open_video(folder / VIDEO_NAME, fps=VIDEO_FPS) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame.image)
            extra = {"file_name": f"{VIDEO_NAME}#{index}", "video_id": 1, "frame_index": index}
            _add(document, frame, extra, tracks=True)
            progress.advance()
    _write_json(folder / VIDEO_ANNOTATIONS_NAME, document)
    return document


def _add(document: dict[str, Any], picture: SyntheticImage, extra: dict[str, Any], *, tracks: bool) -> None:
    height, width = picture.image.shape[:2]
    image_id = len(document["images"]) + 1
    document["images"].append({"id": image_id, "width": width, "height": height, **extra})
    for person in picture.annotations:
        number = len(document["annotations"]) + 1
        track_id = person.identity + 1 if tracks else None
        document["annotations"].append(coco_annotation(person, number, image_id, track_id))


def _count(document: dict[str, Any]) -> tuple[int, int]:
    return len(document["annotations"]), sum(a["num_keypoints"] for a in document["annotations"])


def _write_json(path: Path, document: dict[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out`, which becomes `out` at the end, or vanishes.

    An empty folder `out` is kept and filled: it may be the one somebody works in, or a mounted disk.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} exists and is not a folder", hint="give another -o")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", hint="give another -o, or remove it first")
    there = out.is_dir()
    parent = out if there else out.absolute().parent
    if out.name == ".." and not there:
        raise UsageError(f"{out}: no such folder", hint="give another -o")
    made = [p for p in (parent, *parent.parents) if not p.exists()]
    folder: Path | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".part-", dir=parent))
        yield folder
        if there:
            # The annotations come last: where they are, the rest is too.
            for path in sorted(folder.iterdir(), key=lambda path: path.suffix == ".json"):
                path.rename(out / path.name)
            folder.rmdir()
        else:
            folder.chmod(usual_mode())
            folder.rename(out)
        folder, made = None, []
    except NotADirectoryError as error:
        raise ConfigurationError(f"{error.filename}: not a folder", hint="give another -o") from error
    # The message names the file where the user looks for it, not the temporary folder.
    except EdgePoseError as error:
        if folder is not None:
            error.message = error.message.replace(str(folder), str(out))
            error.args = (error.message,)
        raise
    except OSError as error:
        name = str(error.filename or out)
        name = str(out) if folder is None else name.replace(str(folder), str(out))
        raise OSError(error.errno, error.strerror or str(error), name) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
