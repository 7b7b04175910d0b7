"""Writing a bundle folder: complete under its name, or nothing at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from edgepose import interrupts
from edgepose.bundle import pack
from edgepose.errors import UsageError
from edgepose.hashing import sha256_bytes


def _stage(target: Path, text: str = "one", **options: object) -> pack.StagedBundle:
    manifest = {"format": "edgepose-bundle", "name": text, "files": {}}
    return pack.stage_bundle(target, manifest, {"a.bin": text.encode()}, **options)  # type: ignore[arg-type]


def test_nothing_has_the_name_before_publishing_and_all_is_there_after(tmp_path: Path) -> None:
    target = tmp_path / "new" / "bundle"
    with _stage(target) as staged:
        assert not target.exists()
        digest = staged.digest
        staged.publish()
    assert staged.digest == digest == json.loads((target / "bundle.json").read_text())["manifest_sha256"]
    assert sorted(p.name for p in target.iterdir()) == ["a.bin", "bundle.json"]
    listed = json.loads((target / "bundle.json").read_text())["files"]
    assert listed == {"a.bin": {"bytes": 3, "sha256": sha256_bytes(b"one")}}
    assert [p.name for p in target.parent.iterdir()] == ["bundle"]


def test_the_folder_has_the_usual_permissions(tmp_path: Path) -> None:
    with _stage(tmp_path / "bundle") as staged:
        staged.publish()
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o777 & ~umask


def test_leaving_without_publishing_removes_all_that_was_made(tmp_path: Path) -> None:
    with _stage(tmp_path / "deep" / "er" / "bundle"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_parents_that_were_there_stay(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with _stage(tmp_path / "out" / "bundle"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_names_the_target_and_an_unreadable_source_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a.bin", tmp_path / "out" / "bundle"
    with pytest.raises(FileNotFoundError) as unreadable:
        pack.stage_bundle(target, {"files": {}}, {"a.bin": source})
    assert unreadable.value.filename == str(source)
    source.write_bytes(b"1")

    def full(source: Path, to: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(to))  # as copyfile does

    monkeypatch.setattr(pack.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left") as caught:
        pack.stage_bundle(target, {"files": {}}, {"a.bin": source})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(target))
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize(
    ("folders", "number", "good"),
    [
        (True, errno.EINVAL, True),
        (True, errno.EBADF, True),
        (True, errno.EIO, False),
        (False, errno.EINVAL, False),
    ],
)
def test_a_file_system_that_cannot_flush_a_folder_takes_bundles(
    folders: bool, number: int, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As shared folders of virtual machines; a file that is not flushed is none that is kept."""

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pack.os, "fsync", fsync)
    target = tmp_path / "bundle"
    if good:
        with _stage(target) as staged:
            staged.publish()
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            _stage(target)
    assert [p.name for p in tmp_path.iterdir()] == (["bundle"] if good else [])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_check_removes_the_folder(tmp_path: Path, error: type[BaseException]) -> None:
    seen: list[list[str]] = []

    def check(folder: Path) -> None:
        seen.append(sorted(p.name for p in folder.iterdir()))
        raise error

    with pytest.raises(error):
        _stage(tmp_path / "out" / "bundle", check=check)
    assert seen == [["a.bin", "bundle.json"]]
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_source_removes_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pack.stage_bundle(tmp_path / "out" / "bundle", {"files": {}}, {"a.bin": tmp_path / "absent"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("can_exchange", [True, False])
def test_an_existing_bundle_is_replaced_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(pack, "_exchange", lambda a, b: False)
    target = tmp_path / "bundle"
    for text in ("old", "new"):
        with _stage(target, text, force=True) as staged:
            staged.publish()
    assert (target / "a.bin").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_replacement_that_fails_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    with _stage(target, "old") as staged:
        staged.publish()
    monkeypatch.setattr(pack, "_exchange", lambda a, b: False)
    with pytest.raises(FileNotFoundError), _stage(target, "new", force=True) as staged:
        assert staged.folder is not None
        staged.folder.rename(tmp_path / "moved")
        staged.publish()
    assert (target / "a.bin").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "moved"]


def test_a_signal_within_a_replacement_loses_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    with _stage(target, "old") as staged:
        staged.publish()
    rename = Path.rename

    def interrupted(self: Path, to: Path) -> Path:
        moved = rename(self, to)
        if self == target:
            os.kill(os.getpid(), signal.SIGINT)
        return moved

    monkeypatch.setattr(pack, "_exchange", lambda a, b: False)
    monkeypatch.setattr(Path, "rename", interrupted)
    with interrupts.answered(), pytest.raises(KeyboardInterrupt), _stage(target, "new", force=True) as staged:
        staged.publish()
        time.sleep(5)
    assert (target / "a.bin").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def _appear(target: Path, kind: str) -> None:
    """Make something under the name that a bundle will get."""
    if kind == "link":
        target.symlink_to(target.parent / "absent")
    elif kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        if kind == "folder":
            (target / "thesis.txt").write_text("mine")


def _content(folder: Path) -> dict[str, str]:
    """List what lies in a folder: files with their text, links with their target, folders."""

    def value(path: Path) -> str:
        if path.is_symlink():
            return str(path.readlink())
        return path.read_text() if path.is_file() else ""

    return {str(path.relative_to(folder)): value(path) for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "link"])
@pytest.mark.parametrize("force", [False, True])
def test_what_appears_after_staging_stays(kind: str, force: bool, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    message = "is not a bundle" if force else "exists already"
    with pytest.raises(UsageError, match=message), _stage(target, force=force) as staged:
        _appear(target, kind)
        before = {name: text for name, text in _content(tmp_path).items() if name.startswith("bundle")}
        staged.publish()
    assert _content(tmp_path) == before


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
@pytest.mark.parametrize("force", [False, True])
def test_what_appears_at_the_last_moment_stays(
    kind: str, force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check and the renaming, which the file system itself then refuses."""
    target = tmp_path / "bundle"
    rename = Path.rename

    def late(self: Path, to: Path) -> Path:
        _appear(target, kind)
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(UsageError, match="exists already"), _stage(target, force=force) as staged:
        staged.publish()
    _appear(tmp_path / "second", kind)
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "second"]
    found = _content(tmp_path)
    assert found["bundle"] == found["second"] and found.get("bundle/thesis.txt", "mine") == "mine"


def test_of_two_at_a_time_the_first_gets_the_name(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with _stage(target, "first") as first, _stage(target, "second") as second:
        first.publish()
        with pytest.raises(UsageError, match="exists already"):
            second.publish()
    assert (target / "a.bin").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="file is no folder"):
        pack.refuse_existing(tmp_path / "file" / "sub" / "bundle", force=False)


def test_a_place_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    """The core could not check the bundle there, once all the work is done."""
    with pytest.raises(UsageError, match="the name is not UTF-8"):
        pack.refuse_existing(tmp_path / os.fsdecode(b"caf\xe9") / "bundle", force=False)


def test_a_bundle_is_no_folder_for_bundles(tmp_path: Path) -> None:
    with _stage(tmp_path / "bundle") as staged:
        staged.publish()
    for target in (tmp_path / "bundle" / "other", tmp_path / "bundle" / "deeper" / "other"):
        with pytest.raises(UsageError, match="bundle is a bundle"):
            pack.refuse_existing(target, force=True)


@pytest.mark.parametrize("content", [b'{"format": "web"}', b"[]", b"{", b"\xff", b"[" * 100_000, None])
def test_a_file_of_the_same_name_makes_no_bundle_of_a_folder(content: bytes | None, tmp_path: Path) -> None:
    """Other tools write a bundle.json, too."""
    if content is None:
        (tmp_path / "bundle.json").mkdir()
    else:
        (tmp_path / "bundle.json").write_bytes(content)
    with _stage(tmp_path / "bundles" / "bundle") as staged:
        pack.refuse_existing(staged.target, force=False)
        staged.publish()


def test_an_existing_bundle_is_refused_without_force(tmp_path: Path) -> None:
    with _stage(tmp_path / "bundle") as staged:
        staged.publish()
    with pytest.raises(UsageError, match="exists already"):
        pack.refuse_existing(tmp_path / "bundle", force=False)
    pack.refuse_existing(tmp_path / "bundle", force=True)
    pack.refuse_existing(tmp_path / "other", force=False)


def test_force_replaces_nothing_that_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    for name in ("folder", "file", "dangling"):
        with pytest.raises(UsageError, match="is not a bundle"):
            pack.refuse_existing(tmp_path / name, force=True)
