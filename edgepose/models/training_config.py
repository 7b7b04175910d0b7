"""What the training configuration that a checkpoint quotes says about its network, and what must fit it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgepose.artifact import Preprocess
from edgepose.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

Numbers = tuple[float, ...]

# The value of a setting that is not written out: a name, a calculation.
UNKNOWN = object()

# Far above any official network's settings (12 KB); it bounds how deep hostile text can nest.
_MAX_SETTINGS_CHARS = 32768
# The bundle format's limits of a mean and a standard deviation.
_MAX_LEVEL = 255

# Where configurations of the known families name an activation, all of which are built as SiLU.
_ACTIVATIONS = (
    ("backbone", "act_cfg", "type"),
    ("neck", "act_cfg", "type"),
    ("bbox_head", "act_cfg", "type"),
    ("head", "gau_cfg", "act_fn"),
    ("head", "head_module_cfg", "act_cfg", "type"),
    ("head", "dcc_cfg", "gau_cfg", "act_fn"),
)
_SILU = ("SiLU", "Swish")

_SILENT = "mean and std assumed, as in the official networks: the training configuration gives no numbers"
_HINT = "the network's preprocessing is not known then; correct it where the network was trained"


def model_settings(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of `model` in the configuration that the meta data quotes; {} where it does not.

    Nothing is executed. What is not written out as a value is UNKNOWN.
    """
    found = set(re.findall(r"^model\s*=\s*(.+?)(?=^\w|\Z)", str(meta.get("cfg") or ""), re.M | re.S))
    text = found.pop() if len(found) == 1 else ""
    if not text or len(text) > _MAX_SETTINGS_CHARS:
        return {}
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return value if isinstance(value, dict) else {}


def check_activations(meta: Mapping[str, Any]) -> None:
    """Refuse a network that was trained with other activations than the built one has: no tensor shows them.

    Errors: CheckpointError.
    """
    settings = model_settings(meta)
    for path in _ACTIVATIONS:
        value: Any = settings
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str) and value.rpartition(".")[2] not in _SILU:
            raise CheckpointError(
                f"trained with the activation {value[:60]!r} ({'.'.join(path[:-1])}); only SiLU can be built",
                hint="train with SiLU, the activation of the official networks",
            )


@dataclass(frozen=True, slots=True)
class _Stated:
    """mean and std in the order of the channels; color is None where that order is not stated."""

    mean: Numbers
    std: Numbers
    color: Literal["rgb", "bgr"] | None


def stated_preprocess(
    usual: Preprocess, meta: Mapping[str, Any], stored: Mapping[str, Tensor]
) -> tuple[Preprocess, tuple[str, ...]]:
    """Put the mean, std and channel order that the checkpoint states in place of its family's usual ones.

    stored: the tensors "mean" and "std" of its data_preprocessor, where it has them. Returns notes on what
    is unusual. Errors: CheckpointError (unusable numbers, or two statements that differ).
    """
    settings = model_settings(meta).get("data_preprocessor")
    stated = _of_settings(settings) if isinstance(settings, Mapping) else None
    notes: tuple[str, ...] = ()
    if stored:
        tensors = _of_tensors(stored)
        expected = stated or _Stated(usual.mean, usual.std, None)
        if not _rounds_to(expected.mean, tensors.mean) or not _rounds_to(expected.std, tensors.std):
            if stated:
                raise CheckpointError(
                    f"its training configuration states {_described(stated)}, but its data_preprocessor "
                    f"holds {_described(tensors)}",
                    hint="remove the one that the network was not trained with",
                )
            stated = tensors
            notes = (f"channel order assumed {usual.color}, as in the official networks",)
    if stated is None:
        silent = isinstance(settings, Mapping) and not stored
        return usual, (_SILENT,) if silent else ()
    color = stated.color or usual.color
    given = replace(usual, mean=stated.mean, std=stated.std, color=color)  # type: ignore[arg-type]
    if given == usual:
        return usual, ()
    return given, (
        f"preprocessing as the checkpoint states it, not as usual: {_described(given)}",
        *notes,
    )


def _of_settings(settings: Mapping[str, Any]) -> _Stated | None:
    """Read a data_preprocessor's settings; None where they do not state, written out, what they normalise.

    Source: mmengine 0.10.7, model/base_model/data_preprocessor.py.
    """
    mean, std = settings.get("mean"), settings.get("std")
    # Either turns the BGR pictures that mmpose and mmdet load; without a word mmengine does not.
    swaps = [settings.get(name, False) for name in ("bgr_to_rgb", "rgb_to_bgr")]
    if any(value is UNKNOWN for value in (mean, std, *swaps)) or (mean is None and std is None):
        return None
    where = "its training configuration"
    if not all(isinstance(swap, bool) for swap in swaps):
        raise CheckpointError(
            f"the channel order that {where} states (bgr_to_rgb) is neither True nor False", hint=_HINT
        )
    return _Stated(
        mean=_numbers(mean, "mean", where, low=0),
        std=_numbers(std, "std", where),
        color="rgb" if any(swaps) else "bgr",
    )


def _of_tensors(stored: Mapping[str, Tensor]) -> _Stated:
    found = {name: value.flatten()[:4].tolist() for name, value in stored.items()}
    # The shortest spelling that float32 has for the number.
    short = {name: [float(f"{v:.7g}") for v in values] for name, values in found.items()}
    where = "its data_preprocessor"
    return _Stated(
        mean=_numbers(short.get("mean"), "mean", where, low=0),
        std=_numbers(short.get("std"), "std", where),
        color=None,
    )


def _numbers(value: Any, name: str, where: str, *, low: float | None = None) -> Numbers:
    """Return three numbers from `low`, or else above 0, up to 255. Errors: CheckpointError."""
    usable = (
        isinstance(value, Sequence)
        and len(value) == 3
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
        and all((v > 0 if low is None else v >= low) and v <= _MAX_LEVEL for v in value)
    )
    if not usable:
        expected = f"3 numbers {'above 0' if low is None else f'from {low:g}'}, at most {_MAX_LEVEL}"
        raise CheckpointError(
            f"the {name} that {where} states is {str(value)[:60]}; expected {expected}",
            hint=_HINT,
        )
    return tuple(float(v) for v in value)


def _rounds_to(exact: Numbers, found: Numbers) -> bool:
    """Tell whether the numbers are the exact ones, or what a precision of checkpoints makes of them."""
    import torch

    kinds = (torch.float32, torch.float16, torch.bfloat16)
    stored = torch.tensor(found, dtype=torch.float32)
    return any(torch.equal(torch.tensor(exact).to(kind).float(), stored) for kind in kinds)


def _described(stated: _Stated | Preprocess) -> str:
    order = f"{stated.color}, " if stated.color else ""
    numbers = (f"{name} {', '.join(f'{v:g}' for v in getattr(stated, name))}" for name in ("mean", "std"))
    return order + ", ".join(numbers)


def _value(node: ast.expr) -> Any:
    """Return what an expression of values says: numbers, texts, lists, dictionaries, calls of dict."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand)
        return -value if isinstance(value, (int, float)) else UNKNOWN
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(item) for item in node.elts]
        return UNKNOWN if any(value is UNKNOWN for value in values) else values
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else UNKNOWN for key in node.keys]
        if any(not isinstance(key, str) for key in keys):
            return UNKNOWN
        return {key: _value(value) for key, value in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            return UNKNOWN
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    return UNKNOWN
