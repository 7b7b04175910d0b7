"""Calibration samples: pictures through the C++ preprocessing, recorded so that they can be made again."""

from __future__ import annotations

import json
import math
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgepose import log
from edgepose.artifact import Preprocess
from edgepose.bundle.manifest import preprocess_member
from edgepose.calibration.pictures import CalibrationPicture
from edgepose.core import core_errors, load_core
from edgepose.errors import CalibrationError, UsageError
from edgepose.hashing import sha256_bytes
from edgepose.media import read_picture
from edgepose.person_boxes import OTHER_PIXELS, Box, has_area, meets
from edgepose.temporary import temporary_space

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

# Below this many samples in a half its ranges and figures say nothing.
MIN_SAMPLES = 4
FEW_SAMPLES = 32
MAX_UNREADABLE_SHARE = 0.05
MAX_OUTSIDE_SHARE = 0.05

_BOX_DECIMALS = 2


@dataclass(slots=True)
class Half:
    """Samples [1, 3, H, W] in order, and the picture (its SHA-256) and person's box that each was made of.

    The tensors lie in a file, not in memory, where a thousand letterboxes would be five gigabytes.
    """

    tensors: list[Floats] = field(default_factory=list)
    made_of: list[tuple[str, Box | None]] = field(default_factory=list)

    def record(self) -> list[dict[str, Any]]:
        """Return what a bundle says of these samples."""
        return [{"sha256": digest, "box_xyxy": box and list(box)} for digest, box in self.made_of]


@dataclass(frozen=True, slots=True)
class Samples:
    """What a network is calibrated on, and what the result is measured on; no picture is in both."""

    calibration: Half
    held_out: Half
    seed: int
    unreadable: tuple[str, ...]
    synthetic: bool = False  # rendered by edgepose.synth

    def forget_tensors(self) -> None:
        """Give their file back; the record stays."""
        self.calibration.tensors.clear()
        self.held_out.tensors.clear()

    def record(self) -> dict[str, Any]:
        """Return the JSON value that a bundle keeps."""
        return {
            **({"synthetic": True} if self.synthetic else {}),
            "seed": self.seed,
            "unreadable": list(self.unreadable),
            "calibration": self.calibration.record(),
            "held_out": self.held_out.record(),
        }


@temporary_space()
def make_samples(
    pictures: Sequence[CalibrationPicture],
    preprocess: Preprocess,
    *,
    count: int,
    seed: int = 0,
    find_persons: Callable[[Image], list[Box]] | None = None,
    evaluation: Mapping[str, str] | None = None,
    advance: Callable[[], None] | None = None,
    synthetic: bool = False,
) -> Samples:
    """Make `count` samples to calibrate with and as many held out, or all that the pictures give, in halves.

    The seed decides the order of the pictures, which go to the halves by turns. No picture gives more persons
    than its share of the samples, unless too few come together so. Crops of persons are made of the
    pictures' own boxes, or of those of `find_persons`; letterboxes need neither. evaluation: names of
    pictures that must not be used, by SHA-256. synthetic: what to record of the pictures.
    Errors: CalibrationError (too few, too many unreadable, in the evaluation set), UsageError (no boxes),
    ConfigurationError (no space for their file).
    """
    make = _Maker(preprocess, find_persons, evaluation or {})
    used = 0
    share = math.ceil(2 * count / max(1, sum(picture.boxes != () for picture in pictures)))
    left: deque[tuple[_Store, CalibrationPicture, str, Sequence[Box | None]]] = deque()
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(pictures))
    with tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
        calibration, held_out = _Store(first, preprocess), _Store(second, preprocess)
        stores = (calibration, held_out)

        def add(store: _Store, image: Image, digest: str, boxes: Sequence[Box | None]) -> None:
            for box in boxes[: min(share, count - len(store.made_of))]:
                store.add(make.sample(image, box), digest, box)
                if advance:
                    advance()

        for index in order:
            wanted = [store for store in stores if len(store.made_of) < count]
            if not wanted:
                break
            image, digest, boxes = make.open(pictures[index])
            if image is None or not boxes:
                continue
            # By turns, as long as both still want samples.
            store = wanted[used % len(wanted)]
            used += 1
            add(store, image, digest, boxes)
            left.append((store, pictures[index], digest, boxes[share:]))
        while left:
            store, picture, digest, boxes = left.popleft()
            if boxes and len(store.made_of) < count:
                add(store, read_picture(picture.path), digest, boxes)
                left.append((store, picture, digest, boxes[share:]))
        make.check([len(store.made_of) for store in stores])
        return Samples(
            calibration.half(),
            held_out.half(),
            seed=seed,
            unreadable=tuple(make.unreadable),
            synthetic=synthetic,
        )


class _Store:
    """Collects one half's tensors in a file, which need not have a name any more when they are read."""

    def __init__(self, file: IO[bytes], preprocess: Preprocess) -> None:
        self.made_of: list[tuple[str, Box | None]] = []
        self._file = file
        self._shape = (1, 3, *preprocess.input_hw)

    def add(self, tensor: Floats, digest: str, box: Box | None) -> None:
        self._file.write(tensor.tobytes())
        self.made_of.append((digest, box))

    def half(self) -> Half:
        self._file.flush()
        # "c", copy on write: some engines take only arrays that could be written to.
        mapped = np.memmap(self._file, np.float32, "c", shape=(len(self.made_of), *self._shape))
        return Half(list(np.asarray(mapped)), self.made_of)


class _Maker:
    """Opens one picture after the other, makes their samples, and remembers what was wrong."""

    def __init__(
        self,
        preprocess: Preprocess,
        find_persons: Callable[[Image], list[Box]] | None,
        evaluation: Mapping[str, str],
    ) -> None:
        self.unreadable: list[str] = []
        self._spec_json = json.dumps(preprocess_member(preprocess))
        self._is_crop = preprocess.resize == "affine"
        self._find_persons, self._evaluation = find_persons, evaluation
        self._seen: set[str] = set()
        self._opened = self._without_people = 0
        self._annotated = 0  # persons
        self._outside: list[str] = []  # those of them whose boxes do not meet their picture
        self._evaluated: list[str] = []  # pictures of the evaluation set

    def open(self, picture: CalibrationPicture) -> tuple[Image | None, str, Sequence[Box | None]]:
        """Return a picture, its SHA-256 and what samples can be made of; None where it cannot be used."""
        if self._is_crop and picture.boxes is not None and not picture.boxes:
            self._opened += 1
            self._without_people += 1
            return None, "", ()
        image, digest = self._read(picture.path)
        if image is None or digest in self._seen:
            return None, digest, ()
        self._seen.add(digest)
        if not self._is_crop:
            return image, digest, (None,)
        boxes = self._persons(picture, image)
        if not boxes:
            self._without_people += 1
        return image, digest, boxes

    def sample(self, image: Image, box: Box | None) -> Floats:
        with core_errors():
            tensor, _ = load_core().preprocess(image, box, self._spec_json)
        return np.asarray(tensor[None])

    def check(self, halves: Sequence[int]) -> None:
        """Refuse numbers of samples that cannot be calibrated with, and warn of what hardly can."""
        evaluated = len(self._evaluated)
        if evaluated:
            raise CalibrationError(
                f"{evaluated} of {self._opened} calibration pictures are also in the evaluation set: "
                f"{', '.join(self._evaluated[:3])}{', ...' if evaluated > 3 else ''}",
                hint="calibrate on other pictures than those that the accuracy is measured on",
            )
        bad = len(self.unreadable)
        if bad > MAX_UNREADABLE_SHARE * self._opened:
            raise CalibrationError(
                f"{bad} of {self._opened} calibration pictures cannot be read, over the limit of "
                f"{MAX_UNREADABLE_SHARE:.0%}: {', '.join(self.unreadable[:3])}{', ...' if bad > 3 else ''}",
                hint="remove them, or export them again",
            )
        self._check_outside()
        found = sum(halves)
        if found == 0:
            raise CalibrationError(
                f"none of {self._opened} calibration pictures shows a person",
                hint="give pictures that show people, as the device will see them",
            )
        if min(halves) < MIN_SAMPLES:
            without = f"; {self._without_people} show no person" if self._without_people else ""
            raise CalibrationError(
                f"{self._opened} calibration pictures give {found} samples, and both halves need at least "
                f"{MIN_SAMPLES}{without}",
                hint="give 100 pictures or more",
            )
        if halves[0] < FEW_SAMPLES:
            log.warning(
                f"only {halves[0]} samples to calibrate with: ranges may be too narrow; "
                "give 100 pictures or more"
            )
        if bad:
            log.warning(f"{bad} of {self._opened} calibration pictures could not be read and were left out")

    def _check_outside(self) -> None:
        outside = len(self._outside)
        if not outside:
            return
        what = (
            f"the boxes of {outside} of {self._annotated} annotated persons lie outside their pictures, "
            f"such as {self._outside[0]} pixels"
        )
        if outside > MAX_OUTSIDE_SHARE * self._annotated:
            raise CalibrationError(f"{what}, over the limit of {MAX_OUTSIDE_SHARE:.0%}", hint=OTHER_PIXELS)
        log.warning_once(f"{what}: they were left out; {OTHER_PIXELS}")

    def _read(self, path: Path) -> tuple[Image | None, str]:
        self._opened += 1
        try:
            image, digest = read_picture(path), sha256_bytes(path.read_bytes())
        except (UsageError, OSError) as error:
            log.warning(f"left out: {error}")
            # The record becomes part of a bundle, whose JSON has no halves of surrogate pairs.
            self.unreadable.append(path.name.encode(errors="backslashreplace").decode())
            return None, ""
        if digest in self._evaluation:
            self._evaluated.append(f"{path} (there {self._evaluation[digest]})")
            return None, ""
        return image, digest

    def _persons(self, picture: CalibrationPicture, image: Image) -> list[Box]:
        boxes = picture.boxes
        if boxes is None:
            if self._find_persons is None:
                raise UsageError(
                    "a pose network alone cannot find the persons in the calibration pictures",
                    hint="give COCO annotations, whose boxes are taken, or a bundle that has a detector",
                )
            boxes = tuple(self._find_persons(image))
        found = [box for box in map(_rounded, boxes) if has_area(box)]
        if picture.boxes is None:
            return found
        height, width = image.shape[:2]
        outside = [box for box in found if not meets(box, width, height)]
        self._annotated += len(found)
        self._outside += [f"{list(box)} on {picture.path.name} of {width}x{height}" for box in outside]
        return [box for box in found if box not in outside]


def _rounded(box: Box) -> Box:
    """Round, so that the record makes the very same sample."""
    x1, y1, x2, y2 = (round(float(value), _BOX_DECIMALS) for value in box)
    return (x1, y1, x2, y2)
