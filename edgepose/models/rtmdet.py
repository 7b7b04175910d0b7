"""RTMDet: recognition and description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgepose.artifact import BoxHead, ModelSpec, Preprocess, is_text
from edgepose.models.checkpoint import config_flag
from edgepose.models.family import (
    CSPNEXT_EPS,
    UNKNOWN_LICENSE,
    Family,
    Plan,
    Source,
    choose_input_hw,
    cspnext_dims,
    cspnext_size,
)
from edgepose.models.norm_eps import norm_eps
from edgepose.models.shapes import Shapes
from edgepose.models.tested_settings import tested_head
from edgepose.models.training_config import model_settings

# Sources: mmdet 3.3.0, configs/rtmdet/rtmdet_{tiny,s,m,l}_8xb32-300e_coco.py, and mmpose 1.3.2,
# projects/rtmpose/rtmdet/person/rtmdet_{nano_320,m_640}-8xb32_coco-person.py.
_EXP_FROM_STEM_CHANNELS = 48
_PERSON_TEST = (0.05, 0.6, 1000, 100)
_COCO_TEST = (0.001, 0.65, 30000, 300)

_COCO_CLASSES = (
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign "
    "parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella "
    "handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard "
    "surfboard tennis_racket bottle wine_glass cup fork knife spoon bowl banana apple sandwich orange "
    "broccoli carrot hot_dog pizza donut cake chair couch potted_plant bed dining_table toilet tv laptop "
    "mouse remote keyboard cell_phone microwave oven toaster sink refrigerator book clock vase scissors "
    "teddy_bear hair_drier toothbrush"
)


def matches(shapes: Shapes) -> bool:
    """Tell an RTMDet network by its prediction layers."""
    return shapes.has("bbox_head.rtm_cls.") or shapes.has("bbox_head.rtm_reg.")


def plan(source: Source) -> Plan:
    """Read the dimensions. Errors: CheckpointError, UsageError (an input size that 32 does not divide)."""
    from edgepose.nets.pafpn import NeckDims
    from edgepose.nets.rtmdet import STRIDES, Rtmdet, RtmdetDims

    shapes = source.shapes
    parts = ("backbone", "neck", "bbox_head")
    eps, eps_notes = norm_eps(source.meta, dict.fromkeys(parts, CSPNEXT_EPS))
    backbone = cspnext_dims(shapes, eps=eps["backbone"])
    predictors = [f"bbox_head.{kind}.{n}" for kind in ("rtm_cls", "rtm_reg") for n in range(len(STRIDES))]
    channels = shapes.agreed(*((f"{name}.weight", 1) for name in predictors))
    of_class = [f"{name}.{part}" for name in predictors[: len(STRIDES)] for part in ("weight", "bias")]
    classes = shapes.agreed(*((key, 0) for key in of_class))
    notes = list(eps_notes)

    exp_on_distances = _stated_exp_on_reg(source.meta)
    if exp_on_distances is None:
        # Shapes do not show it; the official sizes nano, tiny and s go without, m and larger with it.
        exp_on_distances = backbone.stem_channels[-1] >= _EXP_FROM_STEM_CHANNELS
        notes.append(f"exp_on_reg assumed {exp_on_distances}, as in the official networks of this width")
    size = cspnext_size(backbone)
    input_hw, input_notes = choose_input_hw(source, 320 if size == "nano" else 640)
    notes += input_notes

    dims = RtmdetDims(
        backbone=backbone,
        neck=NeckDims(
            in_channels=backbone.out_channels,
            blocks=shapes.count("neck.top_down_blocks.0.blocks"),
            separable=shapes.has("neck.downsamples.0.depthwise_conv."),
            out_channels=shapes.width("neck.out_convs.0"),
            eps=eps["neck"],
        ),
        channels=channels,
        stacked_convs=shapes.count("bbox_head.cls_convs.0"),
        classes=classes,
        separable=shapes.has("bbox_head.cls_convs.0.0.depthwise_conv."),
        share_conv=_convolutions_shared(source),
        exp_on_distances=exp_on_distances,
        eps=eps["bbox_head"],
    )
    score, iou, candidates, detections = _PERSON_TEST if classes == 1 else _COCO_TEST
    names, class_notes = _class_names(classes, source.meta)
    head, test_notes = tested_head(
        BoxHead(
            strides=STRIDES,
            exp_on_distances=exp_on_distances,
            classes=names,
            score_threshold=score,
            nms_iou_threshold=iou,
            max_candidates_per_level=candidates,
            max_detections=detections,
        ),
        source.meta,
    )
    spec = ModelSpec(
        name=f"rtmdet-{size}",
        family="rtmdet",
        task="detect",
        preprocess=Preprocess(
            resize="letterbox",
            input_hw=input_hw,
            color="bgr",
            mean=(103.53, 116.28, 123.675),
            std=(57.375, 57.12, 58.395),
            pad_value=(114, 114, 114),
        ),
        head=head,
        input_names=("input",),
        output_names=tuple(f"{kind}_{stride}" for kind in ("cls", "box") for stride in STRIDES),
        license=UNKNOWN_LICENSE,
        parameters=0,
    )
    return Plan(make=lambda: Rtmdet(dims), spec=spec, notes=(*notes, *class_notes, *test_notes))


def _stated_exp_on_reg(meta: Mapping[str, Any]) -> bool | None:
    """Find the switch in the training configuration; the head's class takes False without a word."""
    stated = config_flag(meta, "exp_on_reg")
    head = model_settings(meta).get("bbox_head")
    return False if stated is None and isinstance(head, Mapping) and "exp_on_reg" not in head else stated


def _convolutions_shared(source: Source) -> bool:
    """Tell whether the plain head convolutions of all strides hold the same numbers."""
    keys = [
        key
        for key in source.tensors
        if key.startswith(("bbox_head.cls_convs.0.", "bbox_head.reg_convs.0."))
        and key.endswith(".conv.weight")
    ]
    if not keys or any("depthwise_conv" in key for key in keys):
        return False
    for key in keys:
        for level in (1, 2):
            other = source.tensors.get(key.replace("_convs.0.", f"_convs.{level}.", 1))
            if other is None or not source.tensors[key].equal(other):
                return False
    return True


def _class_names(count: int, meta: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the class names and a note where they are an assumption."""
    stated = meta.get("dataset_meta") if isinstance(meta.get("dataset_meta"), Mapping) else meta
    assert isinstance(stated, Mapping)
    for key in ("classes", "CLASSES"):
        names = stated.get(key)
        if isinstance(names, str):
            names = (names,)
        if isinstance(names, (list, tuple)):  # mmpose's data sets give COCO's categories: name, id and others
            names = [n.get("name") if isinstance(n, Mapping) else n for n in names]
        if isinstance(names, list) and len(names) == count and all(is_text(n) for n in names):
            return tuple(names), ()
    if count == 1:
        return ("person",), ("class name assumed: person",)
    if count == 80:
        return tuple(n.replace("_", " ") for n in _COCO_CLASSES.split()), ("class names assumed: COCO",)
    return tuple(f"class_{n}" for n in range(count)), ("class names unknown: numbered",)


FAMILY = Family("RTMDet", matches, plan)
