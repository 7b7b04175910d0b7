"""A reference's results as a file that lives in a repository: sorted, one person a line, with digests."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.errors import BundleError, UsageError, reading
from edgepose.hashing import sha256_json
from edgepose.paths import refuse_lfs_pointer
from edgepose.verify.run_info import CREATED_BY, gives_depth, seen_score

if TYPE_CHECKING:
    from edgepose.verify.dataset import Dataset
    from edgepose.verify.predictions import Predictions

BASELINE_FORMAT = "edgepose-baseline"
BASELINE_VERSION = 1

# For who gives no labels to a baseline of labelled boxes.
RECORDED_BOXES = "give --data, as the baseline was recorded with labelled boxes"
_HINT = "record it again with edgepose baseline record"
# Results are kept to these digits: finer than any limit of the gate.
_PX_DIGITS, _SCORE_DIGITS, _SCALE_DIGITS, _DEPTH_DIGITS = 2, 4, 6, 5


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was recorded. document: all of the file; persons are in the order of the pictures."""

    path: Path
    document: Mapping[str, Any]

    @property
    def reference(self) -> Mapping[str, Any]:
        """The bundle that was recorded, as in "bundle" of the other documents."""
        found: Mapping[str, Any] = self.document["bundle"]
        return found

    def require_bundle(self, member: Mapping[str, Any]) -> None:
        """Refuse another bundle than the one recorded. Errors: BundleError."""
        for name, what in (("digest", "the bundle"), ("preprocess_digest", "its preprocessing")):
            if self.reference[name] != member[name]:
                raise BundleError(
                    f"{self.path}: was recorded with {self.reference['name']} of another digest: {what} is "
                    f"{str(member[name])[:12]}, recorded {str(self.reference[name])[:12]}",
                    hint="give the recorded bundle, or " + _HINT,
                )

    def require_data(self, digest: str, box_source: str) -> None:
        """Refuse other annotations, pictures or boxes than those recorded. Errors: BundleError."""
        recorded = self.document["data"]
        if recorded["digest"] != digest:
            raise BundleError(
                f"{self.path}: was recorded on other data: annotations and pictures are {digest[:12]}, "
                f"recorded {recorded['digest'][:12]} ({recorded['annotations']})",
                hint="give the recorded data, or " + _HINT,
            )
        boxes = self.document["settings"]["boxes"]
        if boxes != box_source:
            raise BundleError(
                f"{self.path}: was recorded with {boxes} boxes, not {box_source} ones",
                hint=f"give --boxes {boxes}",
            )

    def predictions(self, data: Dataset) -> Predictions:
        """Return the recorded persons, as if the bundle had run on the data now."""
        import numpy as np

        from edgepose.verify.predictions import Predictions

        picture_of = {picture.id: index for index, picture in enumerate(data.pictures)}
        person_of = {int(identity): index for index, identity in enumerate(data.annotation_ids)}
        persons = self.document["persons"]
        count = len(self.document["skeleton"]["keypoints"])
        try:
            return Predictions(
                picture_of=np.array([picture_of[p["image_id"]] for p in persons], np.int64),
                person_of=np.array(
                    [-1 if p["id"] is None else person_of[p["id"]] for p in persons], np.int64
                ),
                boxes=np.array([p["box"] for p in persons], np.float64).reshape(-1, 5),
                keypoints=np.array([p["keypoints"] for p in persons], np.float64).reshape(-1, count, 3),
                input_scale=np.array([p["scale"] for p in persons], np.float64),
                picture_digests=(),
                depths=np.array([p["depths"] for p in persons], np.float64).reshape(-1, count)
                if gives_depth(self.document["constants"])
                else None,
                rescored=self.document["bundle"]["pipeline"] != "one_stage",
            )
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise BundleError(
                f"{self.path}: the recorded persons do not fit ({error})", hint=_HINT
            ) from error


def rounded(found: Predictions) -> Predictions:
    """Round a run as a baseline does, so that an equal run is equal to its baseline."""
    import numpy as np

    digits = np.array([_PX_DIGITS, _PX_DIGITS, _SCORE_DIGITS])
    keypoints = np.stack([found.keypoints[..., n].round(d) for n, d in enumerate(digits.tolist())], axis=-1)
    boxes = np.concatenate(
        [found.boxes[:, :4].round(_PX_DIGITS), found.boxes[:, 4:].round(_SCORE_DIGITS)], axis=1
    )
    scale = found.input_scale.round(_SCALE_DIGITS)
    depths = None if found.depths is None else found.depths.round(_DEPTH_DIGITS)
    return dataclasses.replace(found, keypoints=keypoints, boxes=boxes, input_scale=scale, depths=depths)


def encode_baseline(members: Mapping[str, Any], data: Dataset, found: Predictions) -> str:
    """Return the text for a run that `rounded` returned: a header, then one person a line."""
    persons = []
    for row in range(len(found.boxes)):
        labelled = int(found.person_of[row])
        persons.append(
            {
                "image_id": data.pictures[int(found.picture_of[row])].id,
                "id": int(data.annotation_ids[labelled]) if labelled >= 0 else None,
                "box": found.boxes[row].tolist(),
                "scale": float(found.input_scale[row]),
                "keypoints": found.keypoints[row].ravel().tolist(),
                **({} if found.depths is None else {"depths": found.depths[row].tolist()}),
            }
        )
    body = {
        "format": BASELINE_FORMAT,
        "format_version": BASELINE_VERSION,
        "created_by": CREATED_BY,
        **members,
        "persons": persons,
    }
    header = {name: value for name, value in body.items() if name != "persons"}
    text = json.dumps({**header, "sha256": sha256_json(body)}, indent=1, sort_keys=True, allow_nan=False)
    lines = ",\n".join("  " + json.dumps(person, separators=(",", ":")) for person in persons)
    # "persons" comes last, out of order: a reviewer sees the header first.
    return text.removesuffix("\n}") + ',\n "persons": [\n' + lines + "\n ]\n}\n"


def read_baseline(path: Path) -> Baseline:
    """Read and check a baseline. Errors: UsageError (no such file, no baseline or an incomplete one),
    BundleError (another version, or changed since it was recorded)."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file", hint="give a bundle, or a baseline's JSON file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder, not a baseline", hint="give a baseline's JSON file") from None
    except (ValueError, RecursionError) as error:
        refuse_lfs_pointer(path)
        raise UsageError(f"{path}: not JSON ({error})", hint=_HINT) from error
    if not isinstance(document, dict) or document.get("format") != BASELINE_FORMAT:
        raise UsageError(f"{path}: not a baseline", hint="give a bundle, or a baseline's JSON file")
    version = document.get("format_version")
    if version != BASELINE_VERSION:
        age = "an older" if isinstance(version, int) and version < BASELINE_VERSION else "another"
        raise BundleError(
            f"{path}: a baseline of {age} schema, version {version!r}; needed is {BASELINE_VERSION}",
            hint=_HINT,
        )
    try:
        digest = sha256_json({name: value for name, value in document.items() if name != "sha256"})
    except ValueError as error:
        raise BundleError(f"{path}: {error}", hint=_HINT) from error
    if digest != document.get("sha256"):
        raise BundleError(
            f"{path}: was changed since it was recorded (its sha256 is {digest[:12]})", hint=_HINT
        )
    with reading(str(path), BASELINE_FORMAT, hint=_HINT):
        _check_members(document)
    return Baseline(path, document)


def _check_members(document: Mapping[str, Any]) -> None:
    """Look at what the gate and comparisons read. Errors: those that errors.reading() reports."""
    bundle, constants = document["bundle"], document["constants"]
    texts = [
        *(
            bundle[name]
            for name in ("name", "digest", "backend", "precision", "pipeline", "preprocess_digest")
        ),
        *(document["data"][name] for name in ("digest", "annotations")),
        document["settings"].get("device", "CPU"),
        *document["skeleton"]["keypoints"],
        *(point for name, value in constants.items() if name.endswith(".keypoints") for point in value),
    ]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a name or a digest is no text")
    if not math.isfinite(seen_score(constants)):
        raise ValueError("its keypoint score threshold is no number")
    if document["settings"]["boxes"] not in ("labelled", "detected"):
        raise ValueError("its boxes are neither labelled nor detected")
    iter(document["persons"])
