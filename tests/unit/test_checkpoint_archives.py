"""Archives that are no checkpoints: around one, packed again, or of a program."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from checkpoint_files import refused, save, small_state  # noqa: E402

from edgepose.models import load_model  # noqa: E402


def test_foreign_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    hint = refused(path, "an archive that holds 'readme.txt', not a PyTorch checkpoint").hint
    assert hint is not None and hint.startswith("give the .pth file that training wrote")
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(path, "w", packing) as archive:
            archive.writestr("bomb", bytes(1 << 20))
            archive.writestr("work/best\n.pth", b"PK")
        hint = refused(path, "an archive that holds 'work/best\\n.pth', not").hint
        assert hint == "unpack it first, and give the .pth file in it"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("work/", b"")
    refused(path, "holds nothing")


def test_a_checkpoint_that_was_packed_again(tmp_path: Path) -> None:
    path, state = tmp_path / "a.pth", small_state()
    with zipfile.ZipFile(save(path, state)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}

    def packed(packing: int, rename: Callable[[str], str] = str) -> Path:
        with zipfile.ZipFile(path, "w", packing) as archive:
            archive.writestr("a/", b"")
            for name, content in parts.items():
                archive.writestr(rename(name), content)
        return path

    for again in (
        packed(zipfile.ZIP_DEFLATED),
        packed(zipfile.ZIP_STORED, lambda name: name.partition("/")[2]),
        packed(zipfile.ZIP_STORED, lambda name: f"outer/{name}"),
    ):
        hint = refused(again, "a checkpoint that was unpacked and packed again").hint
        assert hint is not None and "zip -0 -r FILE.pth FOLDER" in hint
    loaded = load_model(packed(zipfile.ZIP_STORED)).network.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_programs_are_refused(tmp_path: Path) -> None:
    network, given = torch.nn.Linear(2, 2), torch.zeros(1, 2)
    path = tmp_path / "a.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, given), path)
        torch.export.save(torch.export.export(network, (given,)), tmp_path / "b.pt2")
    hint = refused(path, "a.pt is a program (TorchScript of torch.jit.save), not a checkpoint").hint
    assert hint is not None and "cfg.pretty_text" in hint
    refused(tmp_path / "b.pt2", "b.pt2 is a program (torch.export), not a checkpoint")
