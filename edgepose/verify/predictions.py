"""Run a bundle over labelled pictures: in several processes, and kept, so that a stopped run goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgepose import interrupts, log
from edgepose.cache import Cache
from edgepose.errors import EngineError, UsageError
from edgepose.hashing import sha256_file, sha256_json
from edgepose.media import read_picture
from edgepose.pipeline import PosePipeline, default_threads
from edgepose.progress import Progress
from edgepose.temporary import temporary_space
from edgepose.verify.dataset import Dataset
from edgepose.verify.flip_test import FlipTest
from edgepose.verify.run_info import constants_of, gives_depth
from edgepose.verify.runtime import runtime_digest

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BoxSource = Literal["labelled", "detected"]

# A picture takes some 10 ms: a chunk is the work that a killed run loses, and one entry of the cache.
_CHUNK_PICTURES = 32
# Part of the cache's key: raise it when the same bundle and picture give something else, or more.
_RECIPE = 3


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to run: the boxes' source, and changes that tell what is wrong with a network.

    flip_test: show every person mirrored, too. swap_channels exchanges red and blue; box_scale grows boxes
    about their centre.
    """

    boxes: BoxSource = "labelled"
    device: str = "CPU"
    flip_test: bool = False
    swap_channels: bool = False
    box_scale: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The N persons that a bundle found, in the order of the pictures.

    picture_of (N,): index into the data's pictures; person_of (N,): index into its persons, -1 for detected
    ones; boxes (N, 5): x1 y1 x2 y2 px, score; keypoints (N, K, 3): x px, y px, score; input_scale (N,):
    pixels of the network's input in a pixel of the picture; depths (N, K): metres, of 3-D networks only.
    """

    picture_of: NDArray[np.int64]
    person_of: NDArray[np.int64]
    boxes: Floats
    keypoints: Floats
    input_scale: Floats
    picture_digests: tuple[str, ...]
    depths: Floats | None = None
    picture_sizes: NDArray[np.int64] | None = None  # (P, 2): width, height px; 0 where it was not decoded
    rescored: bool = True  # False for one-stage networks, as in mmpose's CocoMetric
    seconds: float = 0.0
    processes: int = 1
    from_cache: int = 0

    def data_digest(self, data: Dataset) -> str:
        """Return the SHA-256 that stands for the annotations and every picture."""
        return data_digest(data, self.picture_digests)

    def scores(self) -> Floats:
        """Return the score of each person: the box's, rescored by the mean of its keypoints above 0.2."""
        import numpy as np

        boxes: Floats = self.boxes[:, 4]
        if not self.rescored:
            return boxes
        values = self.keypoints[..., 2]
        seen = values > 0.2
        mean = np.where(seen, values, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        scores: Floats = boxes * mean
        return scores


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some pictures in a row, with the boxes to run on (None: the bundle's own detector)."""

    first: int
    pictures: tuple[int, ...]
    files: tuple[Path, ...]
    persons: tuple[tuple[int, ...], ...] = ()
    boxes: tuple[tuple[tuple[float, float, float, float], ...], ...] | None = None


@dataclass(slots=True)
class _Result:
    first: int
    digests: list[str]
    counts: list[int]
    arrays: dict[str, Any] = field(default_factory=dict)
    rescored: bool = True
    cached: bool = False


def require_boxes(bundle: Path, pipeline: str, boxes: BoxSource) -> None:
    """Refuse labelled boxes for a pipeline that takes none. Errors: UsageError."""
    if boxes == "labelled" and pipeline == "one_stage":
        raise UsageError(
            f"{bundle}: the pipeline is 'one_stage' and takes no boxes", hint="give --boxes detected"
        )


def data_digest(data: Dataset, picture_digests: Sequence[str]) -> str:
    """Return the SHA-256 that stands for the annotations and every picture, given by theirs."""
    return sha256_json({"annotations": data.digest, "pictures": list(picture_digests)})


def predict(
    bundle: Path,
    data: Dataset,
    recipe: Recipe | None = None,
    *,
    processes: int | None = None,
    only: Sequence[int] | None = None,
    progress: Progress | None = None,
    use_cache: bool = True,
) -> Predictions:
    """Run a bundle over the data, or over the pictures of the indices `only`.

    use_cache: take what the same bundle, engine and processor gave before.
    Errors: those of PosePipeline; UsageError for a picture that cannot be read or changes meanwhile;
    EngineError where a process died.
    """
    recipe = recipe or Recipe()
    chunks = list(_chunks(data, recipe, range(len(data.pictures)) if only is None else only))
    wanted = default_threads() if processes is None else processes
    count = max(1, min(wanted, len(chunks)))
    started_s = time.perf_counter()
    results = []
    # Of all processes: this one removes it, whatever becomes of the others.
    with tempfile.TemporaryDirectory(prefix="edgepose-") as scratch:
        for result in _run_all(bundle, recipe, chunks, count, use_cache, Path(scratch)):
            results.append(result)
            if progress:
                progress.advance(len(result.digests))
    results.sort(key=lambda result: result.first)
    return _joined(results, chunks, time.perf_counter() - started_s, count)


def _chunks(data: Dataset, recipe: Recipe, pictures: Sequence[int]) -> Iterator[_Chunk]:
    persons: dict[int, list[int]] = {index: [] for index in pictures}
    if recipe.boxes == "labelled":
        for person in data.boxed.tolist():
            if int(data.picture_of[person]) in persons:
                persons[int(data.picture_of[person])].append(person)
    for start in range(0, len(pictures), _CHUNK_PICTURES):
        chosen = pictures[start : start + _CHUNK_PICTURES]
        files = tuple(data.pictures[index].file for index in chosen)
        if recipe.boxes == "detected":
            yield _Chunk(start, tuple(chosen), files)
            continue
        rows = tuple(tuple(persons[index]) for index in chosen)
        boxes = tuple(tuple(_scaled(data.boxes[p], recipe.box_scale) for p in row) for row in rows)
        yield _Chunk(start, tuple(chosen), files, rows, boxes)


def _scaled(box: Any, factor: float) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    if factor != 1:
        dx, dy = (x2 - x1) * (factor - 1) / 2, (y2 - y1) * (factor - 1) / 2
        x1, y1, x2, y2 = x1 - dx, y1 - dy, x2 + dx, y2 + dy
    return x1, y1, x2, y2


def _run_all(
    bundle: Path, recipe: Recipe, chunks: Sequence[_Chunk], processes: int, use_cache: bool, scratch: Path
) -> Iterator[_Result]:
    if processes == 1:
        runner = _Runner(bundle, recipe, use_cache, scratch)
        try:
            for chunk in chunks:
                yield runner.run(chunk)
        finally:
            runner.pipeline.close()
        return
    import multiprocessing

    _Runner(bundle, recipe, use_cache, scratch).pipeline.close()  # its errors belong to this process
    context = multiprocessing.get_context("spawn")
    ended, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        processes,
        mp_context=context,
        initializer=_start_worker,
        initargs=(bundle, recipe, use_cache, scratch, ended, log.level()),
    )
    try:
        with _no_interrupts():
            futures = [pool.submit(_work, chunk) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise EngineError(
            f"{bundle}: a process that ran the bundle died",
            hint="is there enough memory? --processes 1 shows more; what is done is kept, run it again",
        ) from error
    except BaseException:
        alive.close()  # whoever still works on a chunk, after Ctrl-C, ends now
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        alive.close()
        ended.close()


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Let processes that start here inherit that Ctrl-C, which is their parent's to handle, is held back."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with interrupts.deferred():  # another thread may take the signal for this one
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker: _Runner | None = None


def _start_worker(
    bundle: Path, recipe: Recipe, use_cache: bool, scratch: Path, ended: Connection, level: int
) -> None:
    global _worker
    log.set_level(level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()
    _worker = _Runner(bundle, recipe, use_cache, scratch)


def _end_with_parent(ended: Connection) -> None:
    """End this process when its parent gives up, or is no more: nothing is ever sent."""
    with contextlib.suppress(EOFError, OSError):
        ended.recv()
    os._exit(1)


def _work(chunk: _Chunk) -> _Result:
    if _worker is None:
        raise RuntimeError("the worker was not started")
    return _worker.run(chunk)


class _Runner:
    """A bundle, opened in this process, and the cache of what it gave before."""

    def __init__(self, bundle: Path, recipe: Recipe, use_cache: bool, scratch: Path) -> None:
        # Networks of this size gain more from one picture a process than from several threads a picture.
        self.pipeline = PosePipeline(bundle, threads=1, device=recipe.device)
        if self.pipeline.keypoint_set is None:
            raise UsageError(
                f"{bundle}: finds boxes, not keypoints", hint="give a bundle with a pose network or RTMO"
            )
        require_boxes(bundle, self.pipeline.pipeline_type, recipe.boxes)
        self._flipped = FlipTest(bundle, self.pipeline, device=recipe.device) if recipe.flip_test else None
        self._recipe = recipe
        self._rescored = self.pipeline.pipeline_type != "one_stage"
        self._deep = gives_depth(constants_of(self.pipeline.manifest))
        self._use_cache = use_cache
        self._cache = Cache("predictions")
        self._scratch = scratch / f"{os.getpid()}.npz"

    def run(self, chunk: _Chunk) -> _Result:
        """Return the chunk's persons from the cache, or run and keep them."""
        import numpy as np

        digests = [_digest(path) for path in chunk.files]
        key = sha256_json(
            {
                "recipe": _RECIPE,
                "runtime": runtime_digest(),
                "bundle": self.pipeline.digest,
                "boxes": None if chunk.boxes is None else [[list(b) for b in row] for row in chunk.boxes],
                "device": self._recipe.device,
                "flip_test": self._recipe.flip_test,
                "swap_channels": self._recipe.swap_channels,
                "pictures": digests,
            }
        )
        entry = self._cache.get(key) if self._use_cache else None
        if entry is not None:
            with np.load(entry.files["persons.npz"]) as stored:
                arrays = dict(stored)
            return _Result(chunk.first, digests, entry.data["counts"], arrays, self._rescored, cached=True)
        frames = [self._run_picture(path, chunk, index) for index, path in enumerate(chunk.files)]
        for path, digest in zip(chunk.files, digests, strict=True):
            if _digest(path) != digest:  # nobody would know which of both gave the persons
                raise UsageError(f"{path} changed while it was read", hint="run it again")
        arrays = {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}
        counts = [len(frame["boxes"]) for frame in frames]
        with temporary_space():
            np.savez(self._scratch, **arrays)
        self._cache.put(key, {"persons.npz": self._scratch}, {"counts": counts})
        return _Result(chunk.first, digests, counts, arrays, self._rescored)

    def _run_picture(self, path: Path, chunk: _Chunk, index: int) -> dict[str, Floats]:
        import numpy as np

        boxes = None if chunk.boxes is None else chunk.boxes[index]
        points = self.pipeline.keypoint_set
        assert points is not None
        nobody = np.zeros((0, len(points.keypoints)))
        if boxes is not None and not boxes:
            found = {"boxes": np.zeros((0, 5)), "keypoints": np.zeros((*nobody.shape, 3))}
            found["input_scale"] = np.zeros(0)
            found["picture_size"] = np.zeros((1, 2))
            return {**found, "depths": nobody} if self._deep else found
        image = read_picture(path)
        if self._recipe.swap_channels:
            image = np.ascontiguousarray(image[..., ::-1])
        frame = self.pipeline(image, boxes=None if boxes is None else np.asarray(boxes, np.float32))
        keypoints = frame.keypoints
        if self._flipped is not None:
            keypoints = self._flipped.keypoints(image, frame.boxes)
        scale = input_scales(self.pipeline.manifest, frame.boxes, (image.shape[0], image.shape[1]))
        found = {
            "boxes": frame.boxes.astype(np.float64),
            "keypoints": keypoints.astype(np.float64),
            "input_scale": scale,
            "picture_size": np.array([[image.shape[1], image.shape[0]]], np.float64),
        }
        if self._deep:
            found["depths"] = nobody if frame.z is None else frame.z.astype(np.float64)
        return found


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such picture", hint="it was there when the run began") from None


def input_scales(manifest: dict[str, Any], boxes: Any, image_hw: tuple[int, int]) -> Floats:
    """Return, for each box (x1 y1 x2 y2 px, ...), the network's input pixels in a pixel of the picture."""
    import numpy as np

    models = manifest["models"]
    preprocess = (models.get("pose") or models["one_stage"])["preprocess"]
    height, width = preprocess["input_hw"]
    if "pose" not in models:
        scale = min(height / image_hw[0], width / image_hw[1])
        return np.full(len(boxes), scale)
    corners = np.asarray(boxes, np.float64)
    # The crop has the input's aspect: the box is widened or heightened, then padded.
    crop_width = np.maximum(corners[:, 2] - corners[:, 0], (corners[:, 3] - corners[:, 1]) * width / height)
    scales: Floats = width / (crop_width * preprocess["box_padding"])
    return scales


def _joined(
    results: Sequence[_Result], chunks: Sequence[_Chunk], seconds: float, processes: int
) -> Predictions:
    import numpy as np

    pictures, persons = [], []
    for result, chunk in zip(results, chunks, strict=True):
        for index, count in enumerate(result.counts):
            pictures += [chunk.pictures[index]] * count
            persons += list(chunk.persons[index]) if chunk.boxes is not None else [-1] * count
    deep = all("depths" in result.arrays for result in results)
    return Predictions(
        picture_of=np.array(pictures, np.int64),
        person_of=np.array(persons, np.int64),
        boxes=np.concatenate([result.arrays["boxes"] for result in results]),
        keypoints=_without_nan(np.concatenate([result.arrays["keypoints"] for result in results])),
        input_scale=np.concatenate([result.arrays["input_scale"] for result in results]),
        picture_digests=tuple(digest for result in results for digest in result.digests),
        depths=np.concatenate([result.arrays["depths"] for result in results]) if deep else None,
        picture_sizes=np.concatenate([result.arrays["picture_size"] for result in results]).astype(np.int64),
        rescored=all(result.rescored for result in results),
        seconds=seconds,
        processes=processes,
        from_cache=sum(len(result.digests) for result in results if result.cached),
    )


def subset(found: Predictions, pictures: Sequence[int]) -> Predictions:
    """Return the persons of some pictures only."""
    import numpy as np

    rows = np.isin(found.picture_of, pictures)
    return dataclasses.replace(
        found,
        picture_of=found.picture_of[rows],
        person_of=found.person_of[rows],
        boxes=found.boxes[rows],
        keypoints=found.keypoints[rows],
        input_scale=found.input_scale[rows],
        depths=None if found.depths is None else found.depths[rows],
    )


def _without_nan(keypoints: Floats) -> Floats:
    """Make points that are no numbers missing ones: 0, 0 with score 0."""
    import numpy as np

    keypoints[~np.isfinite(keypoints).all(axis=-1)] = 0
    return keypoints
