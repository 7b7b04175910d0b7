"""The eps of batch normalisation: no tensor shows it, only the training configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgepose.errors import CheckpointError
from edgepose.models.training_config import UNKNOWN, model_settings

# What a part has without norm_cfg: the default of its class. Sources: mmpose 1.3.2,
# models/backbones/{cspnext,csp_darknet}.py, models/necks/{cspnext_pafpn,hybrid_encoder}.py,
# models/heads/hybrid_heads/rtmo_head.py; mmdet 3.3.0, models/dense_heads/rtmdet_head.py.
_CLASS_DEFAULTS = {
    "CSPNeXt": 1e-3,
    "CSPDarknet": 1e-3,
    "CSPNeXtPAFPN": 1e-3,
    "HybridEncoder": 1e-5,
    "RTMDetSepBNHead": 1e-3,
    "RTMOHeadModule": 1e-3,
}
# Parts whose class the original code names itself.
_FIXED_CLASSES = {"head.head_module_cfg": "RTMOHeadModule"}
# A norm_cfg without eps: mmcv 2.1.0, cnn/bricks/norm.py (build_norm_layer).
_NORM_DEFAULT = 1e-5


def norm_eps(meta: Mapping[str, Any], usual: Mapping[str, float]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the eps of each part of a network, and notes on those that are unusual or not written out.

    usual: the eps of the official networks by the part's place in the configuration, such as "neck"; it holds
    where the configuration, if there is one, says nothing of the part. Errors: CheckpointError (an unusable
    number).
    """
    settings = model_settings(meta)
    found = dict(usual)
    unusual, unread = [], []
    for part, official in usual.items():
        value: Any = settings
        for name in part.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is None:
            continue
        stated = _stated(value, part)
        if stated is None:
            unread.append(f"{part} {official:g}")
        elif stated != official:
            found[part] = stated
            unusual.append(f"{part} {stated:g}")
    notes = []
    if unusual:
        what = "eps of batch normalisation as the training configuration has it, not as usual"
        notes.append(f"{what}: {', '.join(unusual)}")
    if unread:
        what = "eps of batch normalisation assumed, as in the official networks"
        notes.append(f"{what}: {', '.join(unread)}; the training configuration does not write it out")
    return found, tuple(notes)


def _stated(settings: Any, part: str) -> float | None:
    """Read a part's eps; None where it is not written out. Errors: CheckpointError."""
    if not isinstance(settings, Mapping):
        return None
    if "norm_cfg" not in settings:
        kind = _FIXED_CLASSES.get(part) or settings.get("type")
        return _CLASS_DEFAULTS.get(kind.rpartition(".")[2]) if isinstance(kind, str) else None
    norm = settings["norm_cfg"]
    value = norm.get("eps", _NORM_DEFAULT) if isinstance(norm, Mapping) else UNKNOWN
    if value is UNKNOWN:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= 1:
        raise CheckpointError(
            f"the eps of batch normalisation that its training configuration states ({part}.norm_cfg) is "
            f"{str(value)[:60]}; expected a number above 0, at most 1",
            hint="no network is trained with it; correct it where the network was trained",
        )
    return float(value)
