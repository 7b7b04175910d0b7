"""Tell a zip checkpoint that is whole from other archives, and from programs."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Sequence
from pathlib import Path

from edgepose.errors import CheckpointError, UsageError

RESAVE_HINT = (
    "load it where it was trained and save the weights, with the text of mmengine's configuration: "
    "torch.save({'state_dict': model.state_dict(), 'meta': {'cfg': cfg.pretty_text}}, FILE)"
)


def check_archive(path: Path) -> None:
    """Compare the checksums of a zip checkpoint, which torch itself does not, and refuse other archives.

    Errors: UsageError (unreadable), CheckpointError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            program = _program(archive.namelist())
            if program:
                raise CheckpointError(
                    f"{path.name} is a program ({program}), not a checkpoint with named weights",
                    hint=RESAVE_HINT,
                )
            _check_packing(path, archive)
            broken = archive.testzip()
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: an offset out of the file
            raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
        raise CheckpointError(
            f"{path.name} is truncated or damaged: {error}", hint="copy or download the checkpoint again"
        ) from error
    if broken is not None:
        raise CheckpointError(
            f"{path.name} is damaged: wrong checksum of {broken}",
            hint="copy or download the checkpoint again",
        )


def _check_packing(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive around a checkpoint, and a checkpoint that was packed again."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    names = [entry.filename for entry in entries]
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        weights = [name for name in names if name.endswith((".pth", ".pt", ".ckpt"))]
        held = ", ".join(repr(name[:60]) for name in (weights or names)[:3]) or "nothing"
        raise CheckpointError(
            f"{path.name} is an archive that holds {held}, not a PyTorch checkpoint",
            hint="unpack it first, and give the .pth file in it"
            if weights
            else "give the .pth file that training wrote or that the model zoo offers",
        )
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if compressed or not any(name.partition("/")[2] == "data.pkl" for name in names):
        raise CheckpointError(
            f"{path.name} is a checkpoint that was unpacked and packed again, which torch does not read",
            hint="pack the folder that holds data.pkl without compression: zip -0 -r FILE.pth FOLDER",
        )


def _program(entries: Sequence[str]) -> str:
    """Return what wrote an archive that holds code beside the weights; nothing for a checkpoint."""
    names = {entry.partition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        return "TorchScript of torch.jit.save"
    if "data.pkl" not in names and ("archive_format" in names or "models/model.json" in names):
        return "torch.export"
    return ""
