"""The environment of rknn-toolkit2: made once, found again, stale when it must be, never half there."""

from __future__ import annotations

import json
import os
import signal
import time
import zipfile
from pathlib import Path

import pytest

from edgepose.converters.rknn import environment
from edgepose.errors import ConfigurationError, MissingDependencyError
from edgepose.interrupts import answered

_TOOLKIT = {
    "rknn/__init__.py": "",
    "rknn/api/__init__.py": "import torch.nn\nclass RKNN(torch.nn.Module):\n    pass\n",
    "numpy/__init__.py": "__version__ = '1.26.4'\n",
}


def _wheel(folder: Path, files: dict[str, str]) -> None:
    info = "rknn_toolkit2-9.9.dist-info"
    files = {
        **files,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: rknn-toolkit2\nVersion: 9.9\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / "rknn_toolkit2-9.9-py3-none-any.whl", "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a toolkit of three files as the only package that pip finds; returns its folder."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    _wheel(shelf, _TOOLKIT)
    lock = tmp_path / "requirements.lock"
    lock.write_text("rknn-toolkit2==9.9\n")
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setattr(environment, "lock_file", lambda: lock)
    return shelf


def _entries(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache" / "rknn").iterdir())


def test_it_is_made_once_and_found_again(toolkit: Path, tmp_path: Path) -> None:
    assert environment.find().state == "absent"
    with pytest.raises(MissingDependencyError, match="is not set up") as caught:
        environment.require()
    assert caught.value.hint == "edgepose setup rknn"
    made = environment.set_up()
    assert made.state == "ready" and made.version == "9.9"
    assert made.python.exists()
    assert _entries(tmp_path) == ["environment", "setup.log"]
    before = (made.folder / "environment.json").stat().st_mtime_ns
    assert environment.set_up() == made == environment.require()
    assert (made.folder / "environment.json").stat().st_mtime_ns == before
    environment.set_up(force=True)
    assert (made.folder / "environment.json").stat().st_mtime_ns != before
    assert _entries(tmp_path) == ["environment", "setup.log"]


def test_a_changed_environment_is_stale_and_is_made_again(toolkit: Path, tmp_path: Path) -> None:
    made = environment.set_up()
    stamp = made.folder / "environment.json"
    good = stamp.read_text()
    for text, reason in (
        ("not JSON", "cannot be read"),
        (json.dumps({**json.loads(good), "key": "0" * 64}), "another list of versions"),
        (json.dumps({**json.loads(good), "python": "3.1"}), "was removed"),
    ):
        stamp.write_text(text)
        assert environment.find().state == "stale"
        with pytest.raises(MissingDependencyError, match=reason):
            environment.require()
    stamp.write_text(good)
    made.python.unlink()
    assert "is gone" in environment.find().reason
    assert environment.set_up().state == "ready"
    (made.folder / "environment.json").unlink()
    assert "is missing" in environment.find().reason
    lock = tmp_path / "requirements.lock"
    lock.write_text("# changed\nrknn-toolkit2==9.9\n")
    assert environment.set_up().state == "ready"


def test_a_failure_leaves_what_was_there(toolkit: Path, tmp_path: Path) -> None:
    made = environment.set_up()
    next(toolkit.iterdir()).unlink()
    with pytest.raises(MissingDependencyError, match="pip cannot install rknn-toolkit2") as caught:
        environment.set_up(force=True)
    assert "setup.log" in (caught.value.hint or "")
    assert environment.find() == made
    _wheel(toolkit, {**_TOOLKIT, "rknn/api/__init__.py": "raise ImportError('libgomp.so.1')\n"})
    with pytest.raises(MissingDependencyError, match=r"does not load: ImportError: libgomp\.so\.1"):
        environment.set_up(force=True)
    assert environment.find() == made
    assert _entries(tmp_path) == ["environment", "setup.log"]


@pytest.mark.parametrize(
    ("step", "error", "place"),
    [
        ("venv", "[Errno 28] No space left on device", ""),
        ("pip", "[Errno 122] Disk quota exceeded", "TMPDIR"),
    ],
)
def test_a_full_disk_is_told_as_such(
    step: str, error: str, place: str, toolkit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = environment._run

    def full(argv: list[str], log_path: Path, timeout_s: float) -> str:
        return f"OSError: {error}" if step in argv else run(argv, log_path, timeout_s)

    monkeypatch.setattr(environment, "_run", full)
    with pytest.raises(ConfigurationError) as caught:
        environment.set_up()
    hint = str(caught.value.hint)
    assert error in str(caught.value) and hint.startswith("free some space, or let EDGEPOSE_CACHE")
    assert place in hint and environment.find().state == "absent"


def test_a_signal_between_the_old_and_the_new_one_loses_neither(
    toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = environment.set_up()
    rename = Path.rename

    def rename_and_interrupt(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        os.kill(os.getpid(), signal.SIGINT)
        return moved

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), answered():
        patch.setattr(Path, "rename", rename_and_interrupt)
        environment.set_up(force=True)
        time.sleep(5)  # the signal comes when both are done
    assert environment.find() == made


def test_surroundings_that_do_not_fit_are_refused(
    toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("platform.machine", lambda: "riscv64")
        with pytest.raises(ConfigurationError, match="does not exist for linux on riscv64"):
            environment.set_up()
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_PYTHONS", ((2, 6),))
        with pytest.raises(MissingDependencyError, match=r"runs on Python 2\.6"):
            environment.set_up()
    with monkeypatch.context() as patch:
        patch.setattr(environment, "NEEDED_MB", 10**12)
        with pytest.raises(ConfigurationError, match="not enough space"):
            environment.set_up()
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "rknn").rmdir()
    (tmp_path / "cache" / "rknn").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot write"):
        environment.set_up()


def test_the_shipped_lock_file_is_exact() -> None:
    lines = [line for line in environment.lock_file().read_text().splitlines() if not line.startswith("#")]
    assert len(lines) >= 10
    assert all("==" in line for line in lines)
    assert environment.toolkit_version() == "2.5.0"


def test_only_what_a_killed_run_left_is_removed(
    toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise InterruptedError

    for name, more_s in (("dead", 60), ("busy", -60)):
        folder = tmp_path / "cache" / "rknn" / f".tmp-{name}"
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - environment._INSTALL_TIMEOUT_S - more_s,) * 2)
    monkeypatch.setattr(environment, "_fill", stop)
    with pytest.raises(InterruptedError):
        environment.set_up()
    assert _entries(tmp_path) == [".tmp-busy"]
