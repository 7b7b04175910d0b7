"""Pickles in checkpoint files: what training tools write loads, and nothing that a file names is executed."""

from __future__ import annotations

import os
import sys
import tracemalloc
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from checkpoint_files import pose_meta, refused, save, small_state  # noqa: E402

from edgepose.models import load_model  # noqa: E402
from edgepose.models.checkpoint import read_checkpoint  # noqa: E402


def history_buffer(module: str) -> type:
    """Make a class like mmengine's HistoryBuffer, whose state holds its own methods."""

    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history = np.arange(3.0)
            self._count_history = np.ones(3)

        def min(self) -> Any: ...

        def max(self) -> Any: ...

        def mean(self) -> Any: ...

        def current(self) -> Any: ...

        def __getstate__(self) -> dict[str, Any]:
            kind = type(self)
            methods = {name: getattr(kind, name) for name in ("min", "max", "mean", "current")}
            return {**self.__dict__, "_statistics_methods": methods}

    # Pickle writes a method by its qualified name: as getattr(HistoryBuffer, "min").
    for function in (HistoryBuffer, *(v for v in vars(HistoryBuffer).values() if callable(v))):
        function.__module__ = module
        function.__qualname__ = function.__qualname__.rpartition("<locals>.")[2]
    return HistoryBuffer


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_pickle_protocols(legacy: bool, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """torch writes with protocol 2, unless it is told otherwise; its safe reader knows little of 4 and 5."""
    document, path = {"meta": {}, "state_dict": small_state()}, tmp_path / "a.pth"
    for protocol in (2, 3, 4, 5):
        options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": not legacy}
        torch.save(document, path, **options)
        if protocol < 4:
            assert read_checkpoint(path).tensors.keys() <= small_state().keys()
        else:
            refused(path, f"is written with pickle protocol {protocol}")
    assert not [warning for warning in recwarn if "protocol" in str(warning.message)]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_training_log_is_not_needed(legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training checkpoint holds objects of mmengine's log; they load without mmengine."""
    module = types.ModuleType("mmengine.logging.history_buffer")
    history = history_buffer(module.__name__)
    module.HistoryBuffer = history  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    hub = {
        "log_scalars": {"train/loss": history(), "train/lr": history()},
        "runtime_info": {"best": np.float64(0.5), "iter": np.int64(3)},
    }
    document = {"state_dict": small_state(), "message_hub": hub, "meta": pose_meta()}
    path = save(tmp_path / "a.pth", document, legacy=legacy)
    assert b"getattr" in path.read_bytes()
    monkeypatch.undo()
    assert load_model(path).spec.name == "rtmpose-custom"


class Payload:
    """Pickle to a call of os.mkdir."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["meta", "state_dict", "document"])
def test_malicious_pickle_runs_nothing(place: str, legacy: bool, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    payload = Payload(trap)
    document: Any = {"meta": pose_meta(), "state_dict": small_state()}
    if place == "document":
        document = payload
    else:
        document[place]["evil"] = payload
    path = save(tmp_path / "a.pth", document, legacy=legacy)
    error = refused(path, "mkdir", "not plain data")
    assert error.hint and not trap.exists()


class Called:
    """Pickle to a call of what getattr(owner, name) gives."""

    def __init__(self, owner: Any, name: str, *arguments: Any) -> None:
        self.found, self.arguments = Found(owner, name), arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.found, self.arguments


class Found:
    """Pickle to getattr(owner, name)."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name

    def __call__(self) -> None: ...  # pickle wants something callable in its place

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_getattr_in_a_pickle_finds_nothing(legacy: bool, tmp_path: Path) -> None:
    """Training logs ask for getattr, so it is not refused; but it looks nothing up."""
    trap = tmp_path / "trap"
    path = tmp_path / "a.pth"
    for owner, name, arguments in (
        (np.ndarray, "tofile", (np.zeros(3), str(trap))),
        (np.dtype, "__subclasses__", ()),
        (str, "join", ("a", "b")),
    ):
        document = {"state_dict": small_state(), "meta": {"evil": Called(owner, name, *arguments)}}
        refused(save(path, document, legacy=legacy), "refused: it asks for", "not plain data")
    # Of a module, as in getattr(os, "system"): the module's own name is no plain data.
    by_name = b"\x80\x02c__builtin__\ngetattr\ncposix\nsystem\nX\x04\x00\x00\x00doit\x86R."
    path.write_bytes(by_name)
    refused(path, "not plain data")
    found = {"state_dict": small_state(), "meta": {"evil": Found(np.ndarray, "tofile")}}
    assert read_checkpoint(save(path, found, legacy=legacy)).meta == {"evil": None}
    assert not trap.exists()


class Scalar:
    """Pickle to a call of NumPy's scalar."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return np.float64(0.5).__reduce__()[0], self.arguments


class Dtype:
    """Pickle to a call of np.dtype, whose own pickle sets a state as well."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return np.dtype, (self.code,)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("code", ["V150000000", "S150000000", "f8"])
def test_a_scalar_without_data_takes_no_memory(code: str, legacy: bool, tmp_path: Path) -> None:
    """NumPy would make one of 150 MB of a few bytes in the file."""
    tracemalloc.start()
    try:
        for arguments in ((Dtype(code),), (Dtype(code), None)):
            document = {"state_dict": small_state(), "meta": {"evil": Scalar(*arguments)}}
            refused(save(tmp_path / "a.pth", document, legacy=legacy), "damaged or not a checkpoint")
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
