"""How a training configuration says that its network is tested: input size, cropping, thresholds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from edgepose.artifact import USUAL_KEYPOINT_SCORE, BoxHead, OneStageHead, Preprocess
from edgepose.errors import CheckpointError
from edgepose.models.training_config import UNKNOWN, model_settings, pipeline_step

_H = TypeVar("_H", BoxHead, OneStageHead)

# The bundle format's limits.
_UNIT = (0, 1)
_CANDIDATES = (1, 1_000_000)
_DETECTIONS = (1, 10_000)
_PADDING = (1, 4)
_Z_RANGE = (1e-6, 100)
_BETA = (0.1, 1000)

# What GetBBoxCenterScale takes without a word: mmpose 1.3.2, datasets/transforms/common_transforms.py.
_BOX_PADDING = 1.25
# What KLDiscretLoss takes: mmpose 1.3.2, models/losses/classification_loss.py. Up to 1.2.0 the label was
# sharpened by beta itself, and scores did not depend on it.
_LOSS_BETA = 1.0
_LABEL_BETA = 10.0
# Of label_beta as a multiple of beta: what the bundle format's limit of a score leaves.
_LABEL_BETA_PER_BETA = 300
_HINT = (
    "correct it where the network was trained, or save the weights alone, for which everything is as in the "
    "official networks: torch.save(model.state_dict(), FILE)"
)
# Of what, with the weights alone, would silently be done as usual.
_HINT_OTHERWISE = "only networks that are tested like the official ones can be converted"


def stated_input_hw(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the (height, width) that pictures are padded to; None where the configuration does not tell.

    Errors: CheckpointError.
    """
    for kind, name in (("BottomupResize", "input_size"), ("Pad", "size"), ("Resize", "scale")):
        step = pipeline_step(meta, kind) or {}
        size = step.get(name)
        if size is None or size is UNKNOWN:
            continue
        sides = _sides(size)
        if sides is None:
            raise _unusable(f"{kind}.{name}", size, "a width and a height in pixels")
        return sides
    return None


def _sides(size: Any) -> tuple[int, int] | None:
    """Return the (height, width) of a stated size; None where it is none."""
    sides = [size, size] if isinstance(size, int) else size
    if not isinstance(sides, list) or len(sides) != 2 or not all(_is_whole(side, 1) for side in sides):
        return None
    return sides[1], sides[0]


def tested_preprocess(usual: Preprocess, meta: Mapping[str, Any]) -> tuple[Preprocess, tuple[str, ...]]:
    """Put the padding of boxes and pictures that the test pipeline states in place of the usual one.

    Returns notes on what is unusual. Errors: CheckpointError (unusable numbers; cropping or resizing of
    another kind).
    """
    for kind in ("TopdownAffine", "BottomupResize"):
        _require(meta, kind, "use_udp", (False,), False)
    _require(meta, "BottomupResize", "resize_mode", ("fit",), "fit")
    if usual.resize == "letterbox":
        _require(meta, "Resize", "keep_ratio", (True,), False)
    found = usual
    if usual.resize == "affine":
        step = pipeline_step(meta, "GetBBoxCenterScale")
        if step is not None:
            padding = _number(
                step, "padding", _BOX_PADDING, _PADDING, "GetBBoxCenterScale.padding", _HINT_OTHERWISE
            )
            found = dataclasses.replace(usual, box_padding=float(padding))
    else:
        kind = "Pad" if usual.resize == "letterbox" else "BottomupResize"
        step = pipeline_step(meta, kind)
        if step is not None:
            found = dataclasses.replace(usual, pad_value=_pad_value(step, kind, usual))
    notes = [
        f"{what} {now} as the training configuration has it, not {before}"
        for what, now, before in (
            ("box padding", f"{found.box_padding:g}", f"{usual.box_padding:g}"),
            ("pad value", found.pad_value, usual.pad_value),
        )
        if now != before
    ]
    if usual.resize == "letterbox":
        padded, scaled = (
            _sides((pipeline_step(meta, kind) or {}).get(name))
            for kind, name in (("Pad", "size"), ("Resize", "scale"))
        )
        if padded is not None and scaled not in (None, padded, usual.input_hw):
            notes.append(
                "Resize.scale of the training configuration is not followed: pictures fill the input of "
                f"{usual.input_hw[0]}x{usual.input_hw[1]} (height x width)"
            )
    return found, tuple(notes)


def tested_head(usual: _H, meta: Mapping[str, Any]) -> tuple[_H, tuple[str, ...]]:
    """Put the thresholds and limits of `test_cfg` in place of the usual ones; returns notes on these.

    Errors: CheckpointError (unusable numbers).
    """
    settings = model_settings(meta).get("test_cfg")
    if not isinstance(settings, Mapping):
        return usual, ()
    where = "model.test_cfg"
    found = dataclasses.replace(
        usual,
        score_threshold=float(
            _number(settings, "score_thr", usual.score_threshold, _UNIT, f"{where}.score_thr")
        ),
    )
    notes: list[str] = []
    if isinstance(found, BoxHead):
        nms = settings.get("nms")
        nms = nms if isinstance(nms, Mapping) else {}
        kind = nms.get("type", "nms")
        # Configurations in Python's style give the function's whole name: mmcv.ops.nms.
        if kind != UNKNOWN and str(kind).rpartition(".")[2] != "nms":
            notes.append(f"{where}.nms of type {str(nms['type'])[:60]!r} is not followed: plain NMS is used")
        if nms.get("class_agnostic") is True:
            notes.append(f"{where}.nms.class_agnostic is not followed: a class suppresses no other one")
        size = settings.get("min_bbox_size")
        if isinstance(size, (int, float)) and size > 0:
            notes.append(f"{where}.min_bbox_size {size:g} is not followed: small boxes are kept")
        found = dataclasses.replace(
            found,
            nms_iou_threshold=float(
                _number(nms, "iou_threshold", found.nms_iou_threshold, _UNIT, f"{where}.nms.iou_threshold")
            ),
            max_candidates_per_level=_whole(
                settings, "nms_pre", found.max_candidates_per_level, _CANDIDATES, where
            ),
            max_detections=_whole(settings, "max_per_img", found.max_detections, _DETECTIONS, where),
        )
    else:
        candidates = _whole(settings, "nms_pre", found.max_candidates, _CANDIDATES, where)
        found = dataclasses.replace(
            found,
            nms_iou_threshold=float(
                _number(settings, "nms_thr", found.nms_iou_threshold, _UNIT, f"{where}.nms_thr")
            ),
            max_candidates=min(candidates, found.max_candidates),
        )
    changed = [
        f"{field.name} {getattr(found, field.name):g}"
        for field in dataclasses.fields(found)
        if getattr(found, field.name) != getattr(usual, field.name)
    ]
    if changed:
        notes.insert(0, f"{where} of the training configuration, not the usual one: {', '.join(changed)}")
    return found, tuple(notes)


def check_stated_simcc(meta: Mapping[str, Any], split_ratio: float, input_hw: tuple[int, int]) -> None:
    """Refuse a split ratio or input size other than concluded from the shapes. Errors: CheckpointError.

    Bins are cut off to whole ones: 307 for 1.2 of 256 pixels look like another ratio.
    """
    head = _head(meta)
    for place, settings in (("head", head), ("head.decoder", head.get("decoder"))):
        settings = settings if isinstance(settings, Mapping) else {}
        ratio, size = settings.get("simcc_split_ratio"), settings.get("input_size")
        if isinstance(ratio, (int, float)) and not math.isclose(ratio, split_ratio):
            raise CheckpointError(
                f"{place}.simcc_split_ratio of its training configuration is {ratio:g}; the shapes say "
                f"{split_ratio:g}",
                hint="the ratio must make whole bins of both sides, such as 2",
            )
        if isinstance(size, list) and size[:2] != [input_hw[1], input_hw[0]]:
            raise CheckpointError(
                f"{place}.input_size of its training configuration is {str(size)[:60]}; the shapes say "
                f"{input_hw[1]}x{input_hw[0]} pixels (width x height)",
                hint="give the checkpoint with the configuration that these tensors were trained with",
            )


def stated_box_padding(meta: Mapping[str, Any], usual: float) -> float:
    """Return the factor on the boxes over which RTMO's bins span. Errors: CheckpointError."""
    return float(_number(_head(meta), "bbox_padding", usual, _PADDING, "head.bbox_padding", _HINT_OTHERWISE))


def stated_z_range(meta: Mapping[str, Any], usual: float) -> float:
    """Return half the depth range in metres. Errors: CheckpointError."""
    decoder = _head(meta).get("decoder")
    decoder = decoder if isinstance(decoder, Mapping) else {}
    return float(_number(decoder, "z_range", usual, _Z_RANGE, "head.decoder.z_range", _HINT_OTHERWISE))


def stated_keypoint_score(meta: Mapping[str, Any], usual_beta: float) -> tuple[float, tuple[str, ...]]:
    """Return the score from which a SimCC keypoint counts as seen, and a note where it is not the usual 0.3.

    Training brings softmax(beta * row) to softmax(label_beta * label), so the two decide how high a peak is.
    usual_beta: where the configuration does not tell. Errors: CheckpointError.
    """
    losses = _head(meta).get("loss")
    stated = next(
        (
            loss
            for loss in (losses if isinstance(losses, list) else [losses])
            if isinstance(loss, Mapping) and str(loss.get("type")).rpartition(".")[2].startswith("KLDiscret")
        ),
        None,
    )
    beta, label_beta, source, doubt = usual_beta, _LABEL_BETA, ", as in the official networks", ""
    if stated is not None:
        beta, source = _number({"beta": _LOSS_BETA, **stated}, "beta", beta, _BETA, "head.loss.beta"), ""
        if stated.get("label_softmax") is True:
            limits = (_BETA[0], _LABEL_BETA_PER_BETA * beta)
            label_beta = _number(stated, "label_beta", label_beta, limits, "head.loss.label_beta")
            if "label_beta" in stated:
                source = f" and label_beta {label_beta:g}"
            else:
                doubt = (
                    "; mmpose before 1.3 trained it to the usual scores: then draw with edgepose run "
                    f"--keypoint-threshold {USUAL_KEYPOINT_SCORE:g}"
                )
    factor = label_beta / beta
    score = USUAL_KEYPOINT_SCORE * factor
    if factor == 1:
        return score, ()
    return score, (
        f"keypoints count as seen from score {score:g}: the loss has beta {beta:g}{source}, "
        f"which makes scores {factor:g} times as high as usual{doubt}",
    )


def _head(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    head = model_settings(meta).get("head")
    return head if isinstance(head, Mapping) else {}


def _require(meta: Mapping[str, Any], kind: str, name: str, taken: tuple[Any, ...], default: Any) -> None:
    """Refuse a step of the test pipeline that works in another way. Errors: CheckpointError."""
    step = pipeline_step(meta, kind)
    value = taken[0] if step is None else step.get(name, default)
    if value is not UNKNOWN and value not in taken:
        raise CheckpointError(
            f"its training configuration prepares pictures with {kind}.{name} = {str(value)[:60]}; only "
            f"{taken[0]} can be done",
            hint=_HINT_OTHERWISE,
        )


def _pad_value(step: Mapping[str, Any], kind: str, usual: Preprocess) -> tuple[int, int, int]:
    value = step.get("pad_val", 0)
    if isinstance(value, Mapping):
        value = value.get("img", 0)
    if value is UNKNOWN:
        return usual.pad_value
    levels = value if isinstance(value, list) else [value] * 3
    whole = [int(level) if isinstance(level, float) and level.is_integer() else level for level in levels]
    if len(whole) != 3 or not all(_is_whole(level, 0, 255) for level in whole):
        raise _unusable(f"{kind}.pad_val", value, "one or three whole numbers from 0 to 255", _HINT_OTHERWISE)
    # The picture is padded as it was read, BGR.
    first, second, third = reversed(whole) if usual.color == "rgb" else whole
    return first, second, third


def _number(
    settings: Mapping[str, Any],
    name: str,
    usual: float,
    limits: tuple[float, float],
    where: str,
    hint: str = _HINT,
) -> float:
    """Return a stated number, or the usual one where it is not written out. Errors: CheckpointError."""
    value = settings.get(name)
    if value is None or value is UNKNOWN:
        return usual
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not limits[0] <= value <= limits[1]:
        raise _unusable(where, value, f"a number from {limits[0]:g} to {limits[1]:g}", hint)
    return value  # type: ignore[no-any-return]


def _whole(settings: Mapping[str, Any], name: str, usual: int, limits: tuple[int, int], where: str) -> int:
    value = settings.get(name)
    if value is None or value is UNKNOWN:
        return usual
    if not _is_whole(value, *limits):
        raise _unusable(f"{where}.{name}", value, f"a whole number from {limits[0]} to {limits[1]}")
    return value  # type: ignore[no-any-return]


def _is_whole(value: Any, low: int, high: int = 1_000_000) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _unusable(where: str, value: Any, expected: str, hint: str = _HINT) -> CheckpointError:
    return CheckpointError(
        f"{where} of its training configuration is {str(value)[:60]}; expected {expected}", hint=hint
    )
