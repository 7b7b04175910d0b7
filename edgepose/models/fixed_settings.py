"""Settings of training configurations that no tensor shows and only one value of which can be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgepose.errors import CheckpointError
from edgepose.models.training_config import UNKNOWN, model_settings

_SILU = ("SiLU", "Swish")


@dataclass(frozen=True, slots=True)
class _Only:
    """A setting's place below `model`, the values that are built, and what its class takes without a word.

    A part that the configuration does not state at all says nothing.
    """

    place: str
    built: tuple[Any, ...]
    default: Any


# Sources of the defaults: mmpose 1.3.2, models/backbones/{cspnext,csp_darknet}.py, models/necks/
# {cspnext_pafpn,hybrid_encoder,channel_mapper}.py, models/heads/coord_cls_heads/{rtmcc,rtmw}_head.py,
# models/heads/hybrid_heads/rtmo_head.py, models/utils/{rtmcc_block,transformer}.py, models/task_modules/
# prior_generators/mlvl_point_generator.py; mmcv 2.1.0, cnn/bricks/transformer.py (FFN); mmdet 3.3.0,
# models/dense_heads/rtmdet_head.py, models/task_modules/prior_generators/point_generator.py.
_ACTIVATIONS = (
    _Only("backbone.act_cfg", _SILU, "SiLU"),
    _Only("neck.act_cfg", _SILU, "SiLU"),
    _Only("neck.encoder_cfg.ffn_cfg.act_cfg", ("GELU",), "ReLU"),
    _Only("bbox_head.act_cfg", _SILU, "SiLU"),
    # The class itself since mmpose 1.3, as configurations in Python quote it.
    _Only("head.gau_cfg.act_fn", ("SiLU", "torch.nn.SiLU", "torch.nn.modules.activation.SiLU"), "SiLU"),
    _Only("head.head_module_cfg.act_cfg", _SILU, "SiLU"),
    _Only("head.dcc_cfg.gau_cfg.act_fn", ("SiLU",), "SiLU"),
)
_OTHERS = (
    _Only("backbone.spp_kernel_sizes", ([5, 9, 13],), [5, 9, 13]),
    _Only("backbone.spp_kernal_sizes", ([5, 9, 13],), [5, 9, 13]),  # so CSPDarknet spells it
    _Only("neck.upsample_cfg.mode", ("nearest",), "nearest"),
    _Only("neck.encoder_cfg.self_attn_cfg.num_heads", (8,), 8),
    _Only("neck.use_encoder_idx", ([2],), [2]),
    _Only("neck.projector.act_cfg", (None,), "ReLU"),
    _Only("head.gau_cfg.pos_enc", (False, None, ""), False),
    _Only("head.dcc_cfg.gau_cfg.pos_enc", ("add",), "add"),
    _Only("head.prior_generator.centralize_points", (True,), False),
    _Only("head.prior_generator.strides", ([16, 32],), [16, 32]),
    _Only("bbox_head.anchor_generator.offset", (0,), 0.5),
    _Only("bbox_head.anchor_generator.strides", ([8, 16, 32],), [8, 16, 32]),
)
# Built with ReLU: these heads where they are given no gau_cfg, this neck where encoder_cfg has no ffn_cfg.
_RELU_HEADS = ("RTMCCHead", "RTMWHead", "RTMW3DHead")
_RELU_NECK = "HybridEncoder"
# Of (channels in, channels out, blocks, add_identity, use_spp) the two that no tensor shows, by stage.
_STAGE_FLAGS = [[True, False], [True, False], [True, False], [False, True]]
_HINT = "only networks that are built like the official ones can be converted"


def check_settings(meta: Mapping[str, Any]) -> None:
    """Refuse a network that was trained as something else than what its tensors would be built into.

    Errors: CheckpointError.
    """
    settings = model_settings(meta)
    for only in _ACTIVATIONS:
        value = _found(settings, only)
        # An act_cfg names a class. Of the words for an act_fn "SiLU" alone makes one, all others a ReLU.
        name = str(value) if only.place.endswith(".act_fn") else str(value).rpartition(".")[2]
        if value is not UNKNOWN and name not in only.built:
            _refuse_activation(str(value), only)
    head = settings.get("head")
    if isinstance(head, Mapping) and _kind(head) in _RELU_HEADS and "gau_cfg" not in head:
        _refuse_activation("ReLU", _ACTIVATIONS[4])
    neck = settings.get("neck")
    encoder = neck.get("encoder_cfg", {}) if isinstance(neck, Mapping) and _kind(neck) == _RELU_NECK else None
    if isinstance(encoder, Mapping) and "ffn_cfg" not in encoder:
        _refuse_activation("ReLU", _ACTIVATIONS[2])
    for only in _OTHERS:
        value = _found(settings, only)
        if value is not UNKNOWN and value not in only.built:
            raise CheckpointError(
                f"trained with {only.place} = {str(value)[:60]}; only {only.built[0]} can be built",
                hint=_HINT,
            )
    _check_stages(settings.get("backbone"))


def check_no_neck(meta: Mapping[str, Any]) -> None:
    """Refuse a stated neck where no tensor shows one: mmpose's FeatureMapProcessor has none.

    Errors: CheckpointError.
    """
    neck = model_settings(meta).get("neck")
    if isinstance(neck, Mapping) and "type" in neck:
        raise CheckpointError(
            f"trained with the neck {_kind(neck)[:60]!r}, of which there is no tensor; only networks without "
            "a neck can be built of these",
            hint=_HINT,
        )


def decoding_notes(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Say so where keypoints are decoded in another way than the configuration states."""
    head = model_settings(meta).get("head")
    decoder = head.get("decoder") if isinstance(head, Mapping) else None
    if isinstance(decoder, Mapping) and decoder.get("use_dark") is True:
        return ("use_dark of the training configuration is not followed: a point is its highest bin",)
    return ()


def _found(settings: Mapping[str, Any], only: _Only) -> Any:
    """Return the value at a place: the class's default where just the last name is missing; else a built one.

    Of an activation that is a dictionary, its type.
    """
    *parts, last = only.place.split(".")
    value: Any = settings
    for name in parts:
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping):
        return only.built[0]
    value = value.get(last, only.default)
    return value.get("type", UNKNOWN) if isinstance(value, Mapping) else value


def _refuse_activation(value: str, only: _Only) -> None:
    place = only.place.removesuffix(".act_fn")
    hint = f"train with {only.built[0]}, the activation of the official networks"
    if place != only.place and value != "ReLU":
        hint = f"mmpose takes it for ReLU, as every act_fn other than 'SiLU'; {hint}"
    raise CheckpointError(
        f"trained with the activation {value[:60]!r} ({place}); only {only.built[0]} can be built", hint=hint
    )


def _kind(settings: Mapping[str, Any]) -> str:
    return str(settings.get("type")).rpartition(".")[2]


def _check_stages(backbone: Any) -> None:
    """Refuse own stages that add or pool elsewhere than the official ones. Errors: CheckpointError."""
    stages = backbone.get("arch_ovewrite") if isinstance(backbone, Mapping) else None
    if not isinstance(stages, list):
        return
    flags = [stage[3:5] if isinstance(stage, list) else None for stage in stages]
    if flags != _STAGE_FLAGS:
        raise CheckpointError(
            f"trained with backbone.arch_ovewrite = {str(stages)[:60]}...; only stages that add their input "
            "but for the last, and pool in the last, can be built",
            hint=_HINT,
        )
