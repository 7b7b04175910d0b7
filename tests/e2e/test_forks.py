"""Pipelines and forked processes: their threads are not there, and nothing may wait for them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import PosePipeline
from edgepose.errors import UsageError
from edgepose.synth.scene import render_scene

LIMIT_S = 60


def in_fork(work: Callable[[], Any]) -> Any:
    """Return what `work` gives in a forked process, or the error that it raises there."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        try:
            sender.send(work())
        except UsageError as error:
            sender.send(error)

    process = context.Process(target=child)
    process.start()
    try:
        assert receiver.poll(LIMIT_S), "the forked process hangs"
        answer = receiver.recv()
        process.join(LIMIT_S)
        assert process.exitcode == 0
        return answer
    finally:
        process.kill()
        process.join()


@pytest.fixture(scope="module")
def image() -> np.ndarray[Any, Any]:
    return render_scene(3, size_hw=(240, 320), persons=2, clean=True).image


@pytest.mark.parametrize("target", ["ncnn", "openvino"])
def test_a_pipeline_of_the_forked_process(
    target: str, bundles: dict[tuple[str, str], Path], image: Any
) -> None:
    path = bundles[target, "fp32"]
    boxes = [[20, 20, 150, 230], [150, 20, 300, 230]]

    def work() -> Any:
        with PosePipeline(path, threads=2) as pipeline:
            return pipeline(image, boxes=boxes).keypoints

    with PosePipeline(path, threads=2) as pipeline:
        before = pipeline(image, boxes=boxes).keypoints
        assert np.array_equal(in_fork(work), before)
        assert np.array_equal(pipeline(image, boxes=boxes).keypoints, before)


@pytest.mark.parametrize("target", ["ncnn", "openvino"])
def test_a_pipeline_of_the_process_before_the_fork(
    target: str, bundles: dict[tuple[str, str], Path], image: Any
) -> None:
    opened = [PosePipeline(bundles[target, "fp32"], threads=2, detect_every=2, detect_delay=1)]
    opened[0](image, time_s=0)

    for call in (lambda: opened[0](image, time_s=1), lambda: opened[0].detect(image), opened[0].reset):
        error = in_fork(call)
        assert isinstance(error, UsageError) and "opened in another process" in str(error)
    assert in_fork(lambda: opened[0].close() or opened.clear()) is None  # type: ignore[func-returns-value]
    opened[0](image, time_s=1)
    opened[0].close()
