"""No call into C++ keeps other Python threads waiting."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import _core

BUNDLES = Path(__file__).resolve().parents[1] / "bundles" / "v1"
UNTOUCHED = (1.0, 1.0, 0.0, 0.0)
MOST_S = 20.0


def _models(kind: str) -> Any:
    return json.loads((BUNDLES / kind / "bundle.json").read_text())["models"]


def _pipeline() -> _core.Pipeline:
    return _core.Pipeline(str(BUNDLES / "top_down"), threads=1)


def _engine() -> _core.Engine:
    files = {"fake": str(BUNDLES / "pose" / "tiny-pose.fake")}
    return _core.Engine("fake", files, [("x", "x", [-1, 1000])], [("y", "y", [-1, 1000])], threads=1)


def _decoder(kind: str, role: str) -> Callable[[], Any]:
    entry = _models(kind)[role]
    maps = [np.ones((1, *tensor["dims"][1:]), np.float32) for tensor in entry["outputs"]]
    texts = (json.dumps(entry["head"]), json.dumps(entry["preprocess"]))
    if kind == "detect":
        return lambda: _core.decode_boxes(maps, *texts, UNTOUCHED, (64, 96))
    dcc = str(BUNDLES / kind / entry["files"]["dcc"])
    return lambda: _core.decode_rtmo(maps, *texts, UNTOUCHED, (64, 64), dcc)


@pytest.fixture(scope="module")
def calls() -> dict[str, Callable[[], Any]]:
    """Give a call of every function that works for more than a moment."""
    pose = _models("pose")["pose"]
    spec, head = json.dumps(pose["preprocess"]), json.dumps(pose["head"])
    image, box = np.zeros((48, 64, 3), np.uint8), (0.0, 0.0, 64.0, 48.0)
    rows, batch = np.zeros((3, 20000), np.float32), np.zeros((100, 1000), np.float32)
    boxes = np.arange(2000, dtype=np.float32).reshape(500, 4)
    scores, labels = np.zeros(500, np.float32), np.zeros(500, np.int32)
    pipeline, engine = _pipeline(), _engine()
    return {
        "preprocess": lambda: _core.preprocess(image, box, spec),
        "preprocess_camera": lambda: _core.preprocess_camera([image.ravel()], 0, 64, 48, 192, box, spec),
        "decode_simcc": lambda: _core.decode_simcc(rows, rows, None, head, UNTOUCHED),
        "decode_boxes": _decoder("detect", "detector"),
        "decode_rtmo": _decoder("one_stage", "one_stage"),
        "nms": lambda: _core.nms(boxes, scores, labels, 0.5, 500),
        "Bundle.open": lambda: _core.Bundle.open(str(BUNDLES / "top_down")),
        "Engine": _engine,
        "Engine.run": lambda: engine.run([batch]),
        "Pipeline": _pipeline,
        "Pipeline.process": lambda: pipeline.process(image, 0),
        "Pipeline.detect": lambda: pipeline.detect(image),
        "Pipeline.verify_golden": pipeline.verify_golden,
        "Pipeline.reset": pipeline.reset,
    }


@pytest.fixture
def undivided() -> Iterator[None]:
    """Let Python take the interpreter from no thread that does not hand it over itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


def _runs_during(call: Callable[[], Any], again: Callable[[], bool]) -> bool:
    """Tell whether another thread gets the interpreter in one of the calls."""
    gate = threading.Lock()
    gate.acquire()
    ran = []

    def wait() -> None:
        with gate:
            ran.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.01)  # it waits at the gate
    gate.release()  # from here on it wants the interpreter, which it gets during a call or not at all
    while not ran and again():
        call()
    during = bool(ran)
    thread.join()
    return during


@pytest.mark.usefixtures("undivided")
@pytest.mark.parametrize(
    "name",
    [
        "preprocess", "preprocess_camera", "decode_simcc", "decode_boxes", "decode_rtmo", "nms",
        "Bundle.open", "Engine", "Engine.run", "Pipeline", "Pipeline.process", "Pipeline.detect",
        "Pipeline.reset", "Pipeline.verify_golden",
    ],
)  # fmt: skip
def test_another_thread_runs_during_a_call(name: str, calls: dict[str, Callable[[], Any]]) -> None:
    end = time.monotonic() + MOST_S
    assert _runs_during(calls[name], lambda: time.monotonic() < end)


@pytest.mark.usefixtures("undivided")
def test_another_thread_runs_while_a_pipeline_ends() -> None:
    pipelines = [_core.Pipeline(str(BUNDLES / "top_down"), threads=2) for _ in range(200)]
    assert _runs_during(pipelines.pop, lambda: bool(pipelines))
