"""The flip test that most published AP has: every person is shown twice, once mirrored.

As mmpose 1.3 does it (mmpose/models/utils/tta.py, rtmcc_head.py): the mean of both SimCC outputs is decoded;
the mirrored one is turned back bin by bin, with the keypoints of a pair exchanged and no shift.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose import log
from edgepose.core import core_errors, load_core
from edgepose.errors import UsageError
from edgepose.pipeline import PosePipeline, keypoint_set_of
from edgepose.skeletons import KEYPOINT_SETS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def require_flip_test(bundle: Path, manifest: dict[str, Any]) -> None:
    """Refuse networks whose published figures have no flip test, or whose points have sides but no pairs.

    Errors: UsageError.
    """
    pose = manifest["models"].get("pose")
    kind = "a one-stage network" if pose is None else "a 3-D network"
    if pose is None or pose["head"].get("z_range") is not None:
        raise UsageError(
            f"{bundle}: {kind} has no flip test", hint="its published figures have none either: leave it out"
        )
    points = keypoint_set_of(manifest)
    assert points is not None
    names = [name.lower() for name in points.keypoints]
    sided = next((n for n in names if "left" in n and n.replace("left", "right") in names), None)
    if not points.flip_pairs and sided is not None:
        raise UsageError(
            f"{bundle}: its keypoint set {points.name} does not say which points change places in a mirror, "
            f"though it names left and right ones, such as {sided}",
            hint='convert with --keypoints FILE that has "flip_pairs" (docs/add-a-model.md)',
        )


def warn_without_pairs(bundle: Path, manifest: dict[str, Any]) -> None:
    """Warn where no points change places in the mirror: a bundle does not tell whether anybody said so."""
    points = keypoint_set_of(manifest)
    assert points is not None
    known = KEYPOINT_SETS.get(points.name)
    # A hand has no sides, which its set says.
    told = known is not None and known.keypoints == points.keypoints and not known.flip_pairs
    if not points.flip_pairs and not told:
        log.warning_once(
            f"{bundle}: its keypoint set {points.name} has no flip_pairs, so no points change places in the "
            "flip test's mirror; if some have sides, AP is wrong"
        )


class FlipTest:
    """A bundle's pose network, one thread, without the rest of its pipeline.

    Errors: UsageError (require_flip_test), EngineError, MissingDependencyError.
    """

    def __init__(self, bundle: Path, pipeline: PosePipeline, *, device: str) -> None:
        manifest = pipeline.manifest
        require_flip_test(bundle, manifest)
        pose, points = manifest["models"]["pose"], pipeline.keypoint_set
        assert points is not None
        self._order = list(range(len(points.keypoints)))
        for left, right in points.flip_pairs:
            self._order[left], self._order[right] = right, left
        self._preprocess, self._head = json.dumps(pose["preprocess"]), json.dumps(pose["head"])
        inputs, outputs = (
            [(tensor["name"], tensor["tensor"], [int(n) for n in tensor["dims"]]) for tensor in pose[side]]
            for side in ("inputs", "outputs")
        )
        with core_errors():
            self._engine: Any = load_core().Engine(
                manifest["backend"],
                {role: str(bundle / name) for role, name in pose["files"].items()},
                inputs,
                outputs,
                threads=1,
                device=device,
                precision=manifest["precision"],
                max_batch=1,
            )

    def keypoints(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the keypoints (N, K, 3: x px, y px, score) of boxes (N, 4 or 5: x1 y1 x2 y2 px, score)."""
        import numpy as np

        found = np.zeros((len(boxes), len(self._order), 3), np.float32)
        core = load_core()
        with core_errors():
            for number, box in enumerate(boxes[:, :4].tolist()):
                tensor, transform = core.preprocess(image, box, self._preprocess)
                x, y = (rows.copy() for rows in self._engine.run([tensor[None]])[:2])
                mirrored = self._engine.run([np.ascontiguousarray(tensor[None, :, :, ::-1])])
                x = (x + mirrored[0][:, self._order, ::-1]) / 2
                y = (y + mirrored[1][:, self._order]) / 2
                found[number], _ = core.decode_simcc(x[0], y[0], None, self._head, transform)
        return found
