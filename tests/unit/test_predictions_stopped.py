"""Runs over pictures in several processes that are stopped: nobody works on, and no traceback is seen."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgepose.writers import write_picture

# The pictures that it is given become pipes that this process holds open: who reads one waits for ever.
SCRIPT = """
import os
import sys
from pathlib import Path
from edgepose.pipeline import keypoint_set_of
from edgepose.bundle.folder import read_manifest
from edgepose.verify import predictions
from edgepose.verify.dataset import read_dataset

if __name__ == "__main__":
    bundle, labels = Path(sys.argv[1]), Path(sys.argv[2])
    predictions._CHUNK_PICTURES = 1
    data = read_dataset(labels, labels.parent, keypoint_set_of(read_manifest(bundle)))
    for picture in map(Path, sys.argv[3:]):
        picture.unlink()
        os.mkfifo(picture)
        os.open(picture, os.O_RDWR)
    try:
        predictions.predict(bundle, data, processes=2)
    except KeyboardInterrupt:
        print("interrupted")
"""
# Begins the scripts of processes that write what they found, and never end with it.
WRITES = """
import time
from pathlib import Path
import numpy as np

def write(path, **arrays):
    Path(path).touch()
    time.sleep(60)

np.savez = write
"""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Label two pictures."""
    for number in range(2):
        (tmp_path / f"{number}.png").touch()
    box = {"category_id": 1, "bbox": [0, 0, 9, 9]}
    document = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(2)],
        "annotations": [{"id": n, "image_id": n, **box} for n in range(2)],
        "categories": [],
    }
    (tmp_path / "labels.json").write_text(json.dumps(document))
    return tmp_path / "labels.json"


@pytest.fixture
def run(labels: Path, bundles_v1: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the run."""
    with started(SCRIPT, bundles_v1 / "pose", labels, *labels.parent.glob("*.png")) as process:
        yield process


@contextlib.contextmanager
def started(text: str, *arguments: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a script in a process group of its own, as a terminal does."""
    folder = arguments[1].parent
    (folder / "script.py").write_text(text)
    (folder / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(folder / "script.py"), *map(str, arguments)],
        env={**os.environ, "EDGEPOSE_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def members(group: int) -> list[int]:
    """Return the living processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended meanwhile
        if int(its_group) == group and state != "Z":
            found.append(int(folder.name))
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def read_by(group: int, folder: Path) -> set[str]:
    """Return the pictures that processes of the group, but for the first, have open, one each."""
    found = set()
    for pid in set(members(group)) - {group}:
        opened = set()
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):  # closed meanwhile
                opened.add(str(link.readlink()))
        pictures = {picture.name for picture in folder.glob("*.png") if str(picture) in opened}
        if len(pictures) == 1:  # one that just starts has all that its parent has
            found |= pictures
    return found


@pytest.mark.parametrize("when", ["as they start", "at work"])
def test_ctrl_c_ends_all_processes_at_once(run: subprocess.Popen[str], labels: Path, when: str) -> None:
    if when == "at work":
        wait_for(lambda: read_by(run.pid, labels.parent) == {"0.png", "1.png"})
    else:
        wait_for(lambda: len(members(run.pid)) > 3)  # the parent, Python's tracker of resources, two more
        time.sleep(0.2)  # they import NumPy
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert out == "interrupted\n" and err == ""
    wait_for(lambda: not members(run.pid))


def test_workers_of_a_killed_process_end(run: subprocess.Popen[str], labels: Path) -> None:
    wait_for(lambda: read_by(run.pid, labels.parent) == {"0.png", "1.png"})
    run.kill()
    wait_for(lambda: not members(run.pid))


def test_ctrl_c_leaves_no_file_of_those_that_wrote_one(bundles_v1: Path, labels: Path) -> None:
    temporary = labels.with_name("tmp")
    for number in range(2):
        write_picture(labels.with_name(f"{number}.png"), np.full((32, 32, 3), number, np.uint8))
    with started(WRITES + SCRIPT, bundles_v1 / "pose", labels) as process:
        wait_for(lambda: len(list(temporary.glob("edgepose-*/*.npz"))) == 2)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=60) == ("interrupted\n", "")
    assert list(temporary.iterdir()) == []
