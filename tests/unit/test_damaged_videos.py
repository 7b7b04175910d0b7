"""Videos that are damaged, cut short, of a varying rate, or whose pixels are not square."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from videos import scene

from edgepose import media
from edgepose.media import load_cv2, open_source
from edgepose.read_ahead import ReadAhead

cv2 = load_cv2()


def motion_jpeg(path: Path, frames: int, damaged: Iterable[int] = ()) -> Path:
    """Write an AVI of grey frames, each 4 brighter up to the 60th, with zeros in the place of some."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(frames):
        writer.write(np.full((48, 64, 3), 4 * (index % 60), np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    begin, end = data.find(b"movi"), data.find(b"idx1")
    chunks = [begin + found.start() for found in re.finditer(b"00dc", data[begin:end])]
    for chunk in (chunks[index] for index in damaged):
        size = int.from_bytes(data[chunk + 4 : chunk + 8], "little")
        data[chunk + 8 : chunk + 8 + size] = bytes(size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("damaged", [[7], [0], [3, 9, 10], range(2, 39), []])
def test_a_damaged_frame_does_not_end_a_video(
    damaged: Sequence[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = motion_jpeg(tmp_path / "v.avi", 40, damaged)
    frames = list(open_source(str(path)))
    whole = [number for number in range(40) if number not in damaged]
    assert [round(frame.image.mean() / 4) for frame in frames] == whole
    assert [frame.index for frame in frames] == list(range(len(whole)))
    times = [(number - whole[0]) * 100_000_000 for number in whole]
    assert [frame.time_ns for frame in frames] == pytest.approx(times, abs=1e6)
    count = f"{len(damaged)} damaged frame{'s' * (len(damaged) > 1)}"
    assert capsys.readouterr().err == (f"warning: {path}: left out {count}\n" if damaged else "")


def test_a_long_damaged_stretch_does_not_end_a_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = motion_jpeg(tmp_path / "v.avi", 400, range(50, 350))
    frames = list(open_source(str(path)))
    assert [frame.index for frame in frames] == list(range(100))
    assert frames[50].time_ns == pytest.approx(35e9, abs=1e6)
    assert capsys.readouterr().err == f"warning: {path}: left out 300 damaged frames\n"


def test_a_wrong_count_does_not_keep_the_end_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(media, "_NO_FRAME_S", 0.2)
    source = open_source(str(motion_jpeg(tmp_path / "v.avi", 40)))
    source.frame_count = 999_999_999
    started_s = time.monotonic()
    assert len(list(source)) == 40
    assert time.monotonic() - started_s < 30
    assert "v.avi: 40 of 999999999 frames came" in capsys.readouterr().err


@pytest.mark.parametrize(("lost", "is_told"), [(10, False), (11, True)])
def test_a_lost_second_is_told_of_a_long_video(
    lost: int, is_told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = motion_jpeg(tmp_path / "v.avi", 600, range(600 - lost, 600))
    assert len(list(open_source(str(path)))) == 600 - lost
    told = f"warning: {path}: {600 - lost} of 600 frames came: trimmed, cut short or damaged\n"
    assert capsys.readouterr().err == (told if is_told else "")


def varying_rate(path: Path, frames: int) -> Path:
    """Write a Matroska file that states no rate, and whose frames come after 17, 50 and 33 ms by turns."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(frames):
        writer.write(scene())
    writer.release()
    data = bytearray(path.read_bytes())
    rate = data.index(b"\x23\xe3\x83")  # DefaultDuration; 0xec is what readers skip
    data[rate : rate + 2] = 0xEC, 0x80 | ((data[rate + 3] & 0x7F) + 2)
    blocks = re.finditer(rb"\xa3[\x40-\x7f].\x81(..).\xff\xd8", bytes(data), re.DOTALL)
    for number, block in enumerate(blocks):
        time_ms = int.from_bytes(block[1], "big") - 16 * (number % 3 == 1)
        data[block.start(1) : block.end(1)] = time_ms.to_bytes(2, "big")
    assert number == frames - 1
    path.write_bytes(data)
    return path


def test_a_complete_video_of_varying_rate_lacks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It states no count, and OpenCV makes one of the length and the highest rate."""
    path = varying_rate(tmp_path / "v.mkv", 90)
    source = open_source(str(path))
    assert source.frame_count is not None and source.frame_count > 150
    times_ms = [frame.time_ns / 1e6 for frame in source]
    assert len(times_ms) == 90 and {round(step) for step in np.diff(times_ms)} >= {17, 33, 50}
    assert capsys.readouterr().err == ""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert len(list(open_source(str(path)))) < 80
    assert f"of {source.frame_count} frames came: trimmed, cut short or damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "is_told"), [((4, 3), True), ((1, 1), False), ((0, 0), False), ((427, 426), False)]
)
def test_pixels_that_are_not_square_are_told(
    shape: tuple[int, int], is_told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = bytearray(cv2.imencode(".jpg", scene())[1].tobytes())
    picture[14:18] = struct.pack(">HH", *shape)
    path = tmp_path / "v.mjpeg"
    path.write_bytes(bytes(picture) * 3)
    assert [frame.image.shape for frame in open_source(str(path))] == [(48, 64, 3)] * 3
    err = capsys.readouterr().err
    assert (f"warning: {path}: its pixels are not square (4:3)" in err) if is_told else err == ""


def test_damaged_frames_are_told_where_not_all_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ReadAhead(open_source(str(motion_jpeg(tmp_path / "v.avi", 60, [1]))), limit=3) as frames:
        assert len(list(frames)) == 3
    assert "v.avi: left out 1 damaged frame\n" in capsys.readouterr().err


def test_a_video_cut_short_tells_how_much_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = motion_jpeg(tmp_path / "v.avi", 60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames = list(open_source(str(path)))
    assert 10 < len(frames) < 50
    assert f"v.avi: {len(frames)} of 60 frames came" in capsys.readouterr().err
