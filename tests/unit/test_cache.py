"""The content-hash cache: whole or absent, whatever happens to its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgepose.cache import Cache
from edgepose.hashing import sha256_bytes

KEY = sha256_bytes(b"key")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache("test", root=tmp_path / "cache")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights" * 100)
    return path


def _entry_folder(cache: Cache) -> Path:
    return cache.root / KEY[:2] / KEY


def test_what_was_put_is_found(cache: Cache, source: Path) -> None:
    assert cache.get(KEY) is None
    stored = cache.put(KEY, {"model.bin": source}, {"answer": [1, 2.5, None]})
    found = cache.get(KEY)
    assert stored is not None and found is not None
    assert found.data == {"answer": [1, 2.5, None]}
    assert found.files["model.bin"].read_bytes() == source.read_bytes()
    assert found.files["model.bin"] != source


def test_another_key_finds_nothing(cache: Cache, source: Path) -> None:
    cache.put(KEY, {"model.bin": source}, {})
    assert cache.get(sha256_bytes(b"other")) is None


@pytest.mark.parametrize("name", ["model.bin", "entry.json"])
def test_one_flipped_byte_makes_an_entry_absent_and_it_can_be_made_again(
    cache: Cache, source: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.put(KEY, {"model.bin": source}, {"n": 1})
    path = _entry_folder(cache) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert cache.get(KEY) is None
    assert "made again" in capsys.readouterr().err
    assert not _entry_folder(cache).exists()
    assert cache.put(KEY, {"model.bin": source}, {"n": 1}) is not None
    assert cache.get(KEY) is not None


@pytest.mark.parametrize("name", ["model.bin", "entry.json"])
def test_what_cannot_be_read_stays_and_is_told_once(
    cache: Cache, source: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be another user's."""
    cache.put(KEY, {"model.bin": source}, {"n": 1})
    path = _entry_folder(cache) / name
    path.rename(path.with_name("aside"))
    path.symlink_to(path.name)  # a loop: root may read whatever the permissions say
    assert cache.get(KEY) is None and cache.get(KEY) is None
    err = capsys.readouterr().err
    assert f"the cache {cache.root} cannot be read (Too many levels" in err and len(err.splitlines()) == 1
    path.with_name("aside").replace(path)
    assert cache.get(KEY) is not None


def test_a_cache_that_can_be_no_folder_is_not_called_damaged(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Cache("test", root=source).get(KEY) is None
    err = capsys.readouterr().err
    assert "cannot be read (Not a directory)" in err and "damaged" not in err


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"key": 1}', "\x00"])
def test_a_foreign_index_makes_an_entry_absent(cache: Cache, source: Path, content: str) -> None:
    cache.put(KEY, {"model.bin": source}, {})
    (_entry_folder(cache) / "entry.json").write_text(content)
    assert cache.get(KEY) is None


def test_an_index_that_names_a_file_elsewhere_is_refused(cache: Cache, source: Path) -> None:
    cache.put(KEY, {"model.bin": source}, {})
    index = _entry_folder(cache) / "entry.json"
    data = json.loads(index.read_text())
    data["files"] = {str(source): data["files"]["model.bin"]}
    index.write_text(json.dumps(data))
    assert cache.get(KEY) is None


def test_a_missing_file_makes_an_entry_absent(cache: Cache, source: Path) -> None:
    cache.put(KEY, {"model.bin": source}, {})
    (_entry_folder(cache) / "model.bin").unlink()
    assert cache.get(KEY) is None and not _entry_folder(cache).exists()


@pytest.mark.parametrize("asked_first", [True, False])
def test_an_entry_whose_removal_was_broken_off_is_made_again(
    cache: Cache, source: Path, asked_first: bool
) -> None:
    cache.put(KEY, {"model.bin": source, "other": source}, {"n": 1})
    folder = _entry_folder(cache)
    (folder / "entry.json").unlink()
    (folder / "other").unlink()
    (folder / "model.bin").write_bytes(b"cut off")
    if asked_first:
        assert cache.get(KEY) is None and not folder.exists()
    stored = cache.put(KEY, {"model.bin": source, "other": source}, {"n": 1})
    assert stored is not None and {path.name for path in folder.iterdir()} == {*stored.files, "entry.json"}
    assert all(path.read_bytes() == source.read_bytes() for path in stored.files.values())
    assert cache.get(KEY) is not None


def test_whoever_may_read_the_cache_may_read_its_entries(cache: Cache, source: Path) -> None:
    before = os.umask(0o002)
    try:
        cache.put(KEY, {"model.bin": source}, {})
    finally:
        os.umask(before)
    assert _entry_folder(cache).stat().st_mode & 0o777 == 0o775


def test_the_second_to_store_the_same_result_changes_nothing(cache: Cache, source: Path) -> None:
    cache.put(KEY, {"model.bin": source}, {"n": 1})
    again = cache.put(KEY, {"model.bin": source}, {"n": 1})
    assert again is not None and again.files["model.bin"].is_file()
    assert [p.name for p in _entry_folder(cache).parent.iterdir()] == [KEY]


def test_a_cache_that_cannot_be_written_is_a_warning(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for key in (KEY, sha256_bytes(b"other")):
        assert Cache("test", root=tmp_path / "file").put(key, {"model.bin": source}, {}) is None
    err = capsys.readouterr().err
    assert f"the cache {tmp_path / 'file' / 'test'} cannot be written (Not a directory)" in err
    assert "not cached" in err and len(err.splitlines()) == 1


def test_a_failed_put_leaves_nothing(cache: Cache, source: Path) -> None:
    cache.put(sha256_bytes(b"other"), {"model.bin": source}, {})
    assert cache.put(KEY, {"model.bin": source, "absent": source.with_name("absent")}, {}) is None
    assert list(cache.root.rglob(".tmp-*")) == []
    assert cache.get(KEY) is None


def test_leftovers_of_killed_runs_are_removed_and_fresh_ones_kept(cache: Cache, source: Path) -> None:
    folder = cache.root / KEY[:2]
    for name, age_s in (("old", 2 * 24 * 3600), ("new", 0)):
        (folder / f".tmp-{name}").mkdir(parents=True)
        stamp = time.time() - age_s
        os.utime(folder / f".tmp-{name}", (stamp, stamp))
    cache.put(KEY, {"model.bin": source}, {})
    assert not (folder / ".tmp-old").exists()
    assert (folder / ".tmp-new").exists()


_HAMMER = """
import sys
from pathlib import Path
from edgepose.cache import Cache
root, source, key = sys.argv[1:]
cache = Cache("test", root=Path(root))
for round_number in range(20):
    stored = cache.put(key, {"model.bin": Path(source)}, {"n": 1})
    found = cache.get(key)
    assert stored is not None and found is not None and found.data == {"n": 1}, round_number
"""


def test_concurrent_processes_never_see_half_an_entry(cache: Cache, source: Path) -> None:
    argv = [sys.executable, "-c", _HAMMER, str(cache.root.parent), str(source), KEY]
    workers = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert (worker.returncode, errors) == (0, "")
    assert cache.get(KEY) is not None
