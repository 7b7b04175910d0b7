"""Read a checkpoint file into plain float32 tensors without executing anything that it contains."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.errors import CheckpointError, UsageError
from edgepose.hashing import sha256_file
from edgepose.models.checkpoint_archive import RESAVE_HINT, check_archive
from edgepose.paths import is_lfs_pointer

if TYPE_CHECKING:
    from torch import Tensor

_ZIP_MAGIC = b"PK\x03\x04"
# torch's format before 1.6 is a bare pickle: of protocol 2, unless another was asked for.
_PICKLE_MAGICS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
# The counters of averaged models: mmengine 0.10.7, model/averaged_model.py; torch's optim/swa_utils.py.
_AVERAGE_COUNTERS = frozenset({"steps", "n_averaged"})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors under their official names, the file's meta data, its SHA-256, and what was noted.

    tensors: without the training's counters of batches, which fit in no half precision and some tools drop.
    normalisation: the tensors "mean" and "std" of the data_preprocessor, which are not the network's.
    """

    tensors: dict[str, Tensor]
    normalisation: dict[str, Tensor]
    meta: Mapping[str, Any]
    sha256: str
    notes: tuple[str, ...]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read any layout that training tools write: with meta data, averaged, wrapped, bare, zip or legacy.

    Errors: UsageError (the file is missing, a folder, or unreadable), CheckpointError (its content).
    """
    _check_file(path)
    try:
        document = _unpickle(path)
        digest = sha256_file(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    weights, meta, found = _state_dict(path, document)
    raw = _unwrapped(path, weights)
    tensors, notes = _official_names(path, raw, meta)
    if not tensors:
        raise CheckpointError(f"{path.name}: the state_dict is empty", hint=RESAVE_HINT)
    return Checkpoint(
        tensors={key: _plain_tensor(path, key, value) for key, value in tensors.items()},
        normalisation={
            name: _plain_tensor(path, f"data_preprocessor.{name}", value)
            for name, value in _normalisation(raw).items()
        },
        meta=meta,
        sha256=digest,
        notes=(*found, *notes),
    )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a checkpoint file", hint="name the .pth file in it")
    if not path.is_file():
        raise UsageError(f"{path}: no such file", hint="check the path of the checkpoint")
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not head:
        raise CheckpointError(f"{path.name} is empty", hint="copy or download the checkpoint again")
    if is_lfs_pointer(head):
        raise CheckpointError(
            f"{path.name} is a Git LFS pointer, not the file itself", hint="run: git lfs pull"
        )
    if not head.startswith((_ZIP_MAGIC, *_PICKLE_MAGICS)):
        raise CheckpointError(
            f"{path.name} is not a PyTorch checkpoint (it begins with {head[:8]!r})",
            hint="give the .pth file that training wrote or that the model zoo offers",
        )
    if head.startswith(_ZIP_MAGIC):
        check_archive(path)


def _unpickle(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_plain_data_globals()):
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)|for unrecognized function", str(error))
        if asked is None:
            protocol = _pickle_protocol(path)
            if protocol > 2 and "Unsupported operand" in str(error):
                raise CheckpointError(
                    f"{path.name} is written with pickle protocol {protocol}, "
                    "of which torch's safe reader knows a part",
                    hint=RESAVE_HINT,
                ) from error
            raise _damaged(path, error) from error
        wanted = repr(asked.group(1)) if asked.group(1) else "a call"
        raise CheckpointError(
            f"{path.name} refused: it asks for {wanted}, which is not plain data", hint=RESAVE_HINT
        ) from error
    except Exception as error:  # torch's readers meet hostile bytes with any exception type
        lacking = re.search(r"can't allocate memory: you tried to allocate (\d+) bytes", str(error))
        if lacking and int(lacking[1]) <= path.stat().st_size:  # else it claims more than it holds
            raise MemoryError(str(error)) from error
        raise _damaged(path, error) from error


def _pickle_protocol(path: Path) -> int:
    """Return the protocol that a checkpoint, whose archive was checked, begins its pickle with; else 0."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if head == _ZIP_MAGIC:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
            head = archive.read(pickles[0])[:2] if pickles else b""
    return head[1] if len(head) > 1 and head[0] == pickle.PROTO[0] else 0


def _damaged(path: Path, error: BaseException) -> CheckpointError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return CheckpointError(
        f"{path.name} is truncated, damaged or not a checkpoint: {reason}",
        hint="copy or download the checkpoint again",
    )


def _plain_data_globals() -> list[Any]:
    """List what mmengine's meta data needs besides torch's own safe list: NumPy arrays and plain numbers.

    The names are those of NumPy 1, which official files were written with, and of NumPy 2.
    """
    import numpy as np

    # NumPy 2 moved the module that holds the two functions.
    multiarray: Any = getattr(np, "_core", None) or np.core
    multiarray = multiarray.multiarray
    reconstruct = multiarray._reconstruct

    def scalar(dtype: Any, data: Any) -> Any:
        if dtype.kind not in "biuf":  # NumPy's own makes a void or a text of any size out of nothing
            raise TypeError(f"a scalar of {dtype} is no plain number")
        return multiarray.scalar(dtype, data)

    dtypes = {type(np.dtype(code)) for code in ("f2", "f4", "f8", "u1", "i4", "i8", "?")}
    return [
        *((reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
        *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
        (_History, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_no_attribute, "builtins.getattr"),
        np.ndarray,
        np.dtype,
        *dtypes,
    ]


class _History:
    """Stand in for the training log of mmengine, which training checkpoints carry and nobody needs here."""


def _no_attribute(*_: Any) -> None:
    """Stand in for getattr, by which mmengine's log names its own methods (HistoryBuffer.min and others).

    It looks nothing up, whatever it is asked for: what a file can reach stays the list above.
    """
    return None


def _state_dict(path: Path, document: Any) -> tuple[Mapping[str, Any], Mapping[str, Any], tuple[str, ...]]:
    """Find the weights, the meta data, and what to note.

    The weights are bare, under "state_dict", which averaging fills with the averaged ones, or, where that is
    missing, under "ema_state_dict".
    """
    import torch

    if isinstance(document, Mapping):
        averaged = "state_dict" not in document
        weights = document.get("ema_state_dict" if averaged else "state_dict")
        if isinstance(weights, Mapping) and all(isinstance(key, str) for key in weights):
            meta = document.get("meta")
            notes = ("weights taken from ema_state_dict: there is no state_dict",) if averaged else ()
            return weights, meta if isinstance(meta, Mapping) else {}, notes
        if document and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in document.items()):
            return document, {}, ()
        keys = ", ".join(repr(key) for key in list(document)[:6])
        found = f"a dictionary of {keys}" if keys else "an empty dictionary"
    else:
        found = f"a {type(document).__name__}"
    raise CheckpointError(f"{path.name} holds no state_dict but {found}", hint=RESAVE_HINT)


def _unwrapped(path: Path, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Undo what torch.compile, distribution, averaging and Lightning do to tensor names.

    Errors: CheckpointError.
    """
    tensors: dict[str, Any] = {}
    for key, value in weights.items():
        name = re.sub(r"(^|\.)(?:_orig_mod\.)+", r"\1", key)
        if name in tensors:
            raise CheckpointError(
                f"{path.name} holds {name} twice, once as compiled by torch", hint=RESAVE_HINT
            )
        tensors[name] = value
    for wrapper in ("module.", "model."):  # a Lightning module calls what it trains "model" by custom
        # More than once where a distributed network is averaged.
        while inner := {key for key in tensors if key.startswith(wrapper)}:
            if not tensors.keys() - inner <= _AVERAGE_COUNTERS:
                break
            tensors = {key.removeprefix(wrapper): tensors[key] for key in tensors if key in inner}
    return {key: value for key, value in tensors.items() if not is_batch_counter(key)}


def _official_names(
    path: Path, raw: Mapping[str, Any], meta: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Undo what older versions do to tensor names, and keep the student of a distilled pair.

    Source: mmpose 1.3.2, models/pose_estimators/base.py (data_preprocessor, keypoint_head).
    Errors: CheckpointError.
    """
    tensors = dict(raw)
    notes: tuple[str, ...] = ()
    if any(key.startswith("student.") for key in tensors):
        tensors, notes = _student(tensors, second_stage=_second_stage(path, tensors, meta))
    renamed = {}
    for key, value in tensors.items():
        if not key.startswith("data_preprocessor."):
            renamed[re.sub(r"^keypoint_head\.", "head.", key)] = value
    return renamed, notes


def _normalisation(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean and std of the data_preprocessor: of a distilled pair the outer one, which both see."""
    for prefix in ("data_preprocessor.", "student.data_preprocessor."):
        found = {name: raw[prefix + name] for name in ("mean", "std") if prefix + name in raw}
        if found:
            return found
    return {}


def _second_stage(path: Path, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> bool:
    """Tell whether a DWPose distillation is of the second stage. Errors: CheckpointError (it may be either).

    A backbone of the student's shapes can be what the student's head was trained on.
    """
    stated = config_flag(meta, "two_dis")
    text = quoted_configuration(meta)
    if stated is None and ("two_dis" in text or "DWPoseDistiller" not in text):  # else the class's default
        student, teacher = (
            {
                key.removeprefix(prefix): getattr(value, "shape", None)
                for key, value in tensors.items()
                if key.startswith(f"{prefix}backbone.")
            }
            for prefix in ("student.", "teacher.")
        )
        if student == teacher != {}:
            raise CheckpointError(
                f"{path.name} is a distillation that does not state its stage (two_dis), and the backbones "
                "of its student and teacher have the same shapes: either may be the trained one",
                hint="give the file that the training wrote, with its meta, or what mmpose's "
                "tools/misc/pth_transfer.py makes of it, for the second stage with --two_dis",
            )
    return stated is True


def _student(tensors: dict[str, Any], *, second_stage: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the trained network of a DWPose distillation.

    The second stage trains the student's head alone, on the teacher's backbone; its configuration says
    two_dis. Source: mmpose 1.3.2, models/distillers/dwpose_distiller.py, tools/misc/pth_transfer.py.
    """
    parts = ("teacher.backbone.", "teacher.neck.", "student.head.") if second_stage else ("student.",)
    kept = {key.split(".", 1)[1]: value for key, value in tensors.items() if key.startswith(parts)}
    what = "head of the student on the backbone of the teacher" if second_stage else "student"
    return kept, (
        f"{what} taken from a distillation checkpoint; {len(tensors) - len(kept)} tensors left out",
    )


def _plain_tensor(path: Path, key: str, value: Any) -> Tensor:
    """Return the tensor, floats as float32. Errors: CheckpointError naming an odd or not finite tensor."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise CheckpointError(
            f"{path.name}: {key} is a {type(value).__name__}, not a tensor", hint=RESAVE_HINT
        )
    if (
        value.layout is not torch.strided
        or value.is_quantized
        or value.device.type != "cpu"
        or value.is_complex()
        # Floats of 8 bits and less mean nothing without their scales.
        or (value.is_floating_point() and value.element_size() < 2)
    ):
        raise CheckpointError(
            f"{path.name}: {key} is not a plain dense tensor of real numbers", hint=RESAVE_HINT
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(f"{path.name}: {key} claims more numbers than the file holds", hint=RESAVE_HINT)
    if not value.numel():  # its other sides would be believed, however long
        raise CheckpointError(f"{path.name}: {key} holds no numbers {list(value.shape)}", hint=RESAVE_HINT)
    if not value.is_floating_point():
        return value.detach()
    value = value.detach().to(torch.float32)  # before the check: not every float64 is finite as one
    if not bool(torch.isfinite(value).all()):
        bad = int(value.numel() - torch.isfinite(value).sum())
        raise CheckpointError(
            f"{path.name}: {key} holds {bad} values that are not finite (NaN or infinity)",
            hint="the training diverged or the file is damaged; use an earlier checkpoint",
        )
    if key.endswith(".running_var") and bool((value < 0).any()):
        raise CheckpointError(f"{path.name}: {key} holds negative variances", hint="the file is damaged")
    return value


def is_batch_counter(key: str) -> bool:
    """Tell whether a tensor counts the batches of training, which no result depends on."""
    return key.endswith(".num_batches_tracked")


def quoted_configuration(meta: Mapping[str, Any]) -> str:
    """Return the text of the training configuration that the meta data quotes; "" where it quotes none."""
    text = meta.get("cfg")
    return text if isinstance(text, str) else ""


def config_flag(meta: Mapping[str, Any], name: str) -> bool | None:
    """Find a switch in the training configuration that the meta data may quote; None if not stated."""
    found = set(re.findall(rf"\b{name}['\"]?\s*[=:]\s*(True|False)\b", quoted_configuration(meta)))
    return found.pop() == "True" if len(found) == 1 else None
