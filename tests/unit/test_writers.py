"""Writing pictures, videos and other files completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from videos import scene, write_video

from edgepose import media, writers
from edgepose.errors import ConfigurationError, UsageError
from edgepose.media import open_source


@pytest.mark.parametrize("fps", [66.667, 90.0333, 143.999, 700.37])
def test_high_rates_are_written(fps: float, tmp_path: Path) -> None:
    source = media.open_source(str(write_video(tmp_path / "v.mp4", 5, fps=fps)))
    assert source.fps == pytest.approx(fps, rel=1e-4) and source.frame_count == 5
    source.close()


def test_frames_are_repeated_until_the_next_one_comes(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with writers.open_video(path, fps=10) as video:
        for number, time_s in enumerate((0, 0.1, 0.52, 1.0)):
            video.write(np.full((48, 64, 3), 60 * number, np.uint8), time_s=time_s)
    shown = [round(float(frame.image.mean()) / 60) for frame in media.open_source(str(path))]
    assert shown == [0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3]


def test_a_source_that_is_faster_than_it_says_loses_frames_not_time(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with writers.open_video(path, fps=10) as video:
        for number in range(21):  # 20 a second
            video.write(np.full((48, 64, 3), 12 * number, np.uint8), time_s=number / 20)
    shown = [round(float(frame.image.mean()) / 12) for frame in media.open_source(str(path))]
    assert len(shown) == 11 and shown == sorted(shown) and max(np.diff(shown)) <= 3 and shown[-1] >= 19


def test_an_odd_size_loses_its_last_row_and_column(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "v.mp4", 3, size=(65, 49))))
    assert next(iter(source)).image.shape == (48, 64, 3)


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writers.open_video(tmp_path / "v.mp4", fps=10) as video:
        video.write(scene())
        raise KeyboardInterrupt
    with pytest.raises(ValueError), writers.atomic_path(tmp_path / "a.json") as path:
        path.write_text("half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / (83 * "\u4e2d" + "a.png")  # 254 bytes
    writers.write_picture(path, scene())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_made_is_named_as_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as refused:
        writers.write_text(tmp_path / "file" / "a.json", "{}")
    assert str(refused.value.filename) == str(tmp_path / "file" / "a.json")


def test_a_full_device_is_named() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("optional: this system has no /dev/full")
    with pytest.raises(OSError, match="/dev/full") as refused:
        writers.write_text(full, "text")
    assert refused.value.errno == errno.ENOSPC


def test_an_existing_file_survives_a_failed_write(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError) as caught, writers.atomic_path(target) as path:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(target) and target.read_text() == "old"
    with writers.atomic_path(target) as path:
        path.write_text("new")
    assert target.read_text() == "new" and list(tmp_path.iterdir()) == [target]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("old.txt", "new.txt"):
        (tmp_path / name).symlink_to(f"data/{name}")
    (tmp_path / "data" / "old.txt").write_text("old")
    for name in ("old.txt", "new.txt"):
        writers.write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink() and (tmp_path / "data" / name).read_text() == "new"
    assert len(list((tmp_path / "data").iterdir())) == 2


def test_devices_and_pipes_are_written_in_place(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "link").symlink_to(pipe)
    for name in (pipe, tmp_path / "link"):
        writers.write_text(name, "through")
        assert os.read(reader, 99) == b"through" and pipe.is_fifo()
    assert (tmp_path / "link").is_symlink()
    with pytest.raises(UsageError, match="a device or a pipe"), writers.open_video(pipe, fps=10):
        raise AssertionError
    os.close(reader)
    # As "> file" opens it: what was written there by name must be the file that the shell holds.
    with (tmp_path / "file").open("w+") as stream:
        writers.write_text(Path(f"/dev/fd/{stream.fileno()}"), "through")
        assert stream.read() == "through"
    assert writers.is_stream(Path(os.devnull)) and not writers.is_stream(Path("/dev/shm/none"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe.mp4"]


def test_a_full_disk_stops_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(writers.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OSError) as caught:
        write_video(tmp_path / "v.mp4", 3)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_lacks_frames_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"holds \d+ of 6 frames"),
        writers.open_video(tmp_path / "v.mp4", fps=10) as video,
    ):
        for _ in range(5):
            video.write(scene())
        video.frames += 1
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="frame 1 is 32x48"),
        writers.open_video(tmp_path / "v.mp4", fps=10) as video,
    ):
        video.write(scene())
        video.write(scene(32, 48))


def test_an_unknown_picture_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot encode"):
        writers.write_picture(tmp_path / "a.xyz", scene())
