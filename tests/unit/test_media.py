"""Reading pictures, folders and videos, good and bad."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from videos import jpeg_with_orientation, scene, write_video

from edgepose import media, read_ahead, writers
from edgepose.errors import ConfigurationError, UsageError
from edgepose.media import list_pictures, load_cv2, open_source, read_picture
from edgepose.read_ahead import ReadAhead

cv2 = load_cv2()


@pytest.mark.parametrize("suffix", media.PICTURE_SUFFIXES)
def test_pictures_are_read_as_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"ä picture{suffix}"
    writers.write_picture(path, scene())
    read = read_picture(path)
    assert read.dtype == np.uint8 and read.flags.c_contiguous
    lossy = (*media.JPEG_SUFFIXES, ".webp", ".jp2")
    assert np.abs(read.astype(int) - scene()).mean() < (3 if suffix in lossy else 1e-9)


def test_grey_alpha_and_16_bit_become_bgr(tmp_path: Path) -> None:
    for name, image in (
        ("grey.png", scene()[:, :, 0]),
        ("alpha.png", np.dstack([scene(), np.full((48, 64), 128, np.uint8)])),
        ("deep.png", scene().astype(np.uint16) * 257),
    ):
        assert cv2.imwrite(str(tmp_path / name), image)
        read = read_picture(tmp_path / name)
        assert read.shape == (48, 64, 3) and read.dtype == np.uint8
    assert np.array_equal(read, scene())


@pytest.mark.parametrize(
    ("orientation", "bright_corner"),
    [
        (1, (0, 0)),
        (2, (0, -1)),
        (3, (-1, -1)),
        (4, (-1, 0)),
        (5, (0, 0)),
        (6, (0, -1)),
        (7, (-1, -1)),
        (8, (-1, 0)),
    ],
)
def test_exif_orientation_is_honoured(
    orientation: int, bright_corner: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "turned.jpg"
    jpeg_with_orientation(path, scene(), orientation)
    read = read_picture(path)
    assert read.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
    assert read[bright_corner].min() > 220
    others = {(0, 0), (0, -1), (-1, 0), (-1, -1)} - {bright_corner}
    assert all(read[corner].min() < 200 for corner in others)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".jp2", ".ppm"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.98])
def test_a_picture_cut_short_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    whole = tmp_path / f"whole{suffix}"
    writers.write_picture(whole, scene(320, 240))
    data = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UsageError) as caught:
        read_picture(cut)
    assert str(cut) in caught.value.message and "\n" not in caught.value.message and caught.value.hint


def test_a_thumbnail_does_not_hide_the_cut(tmp_path: Path) -> None:
    thumbnail = cv2.imencode(".jpg", scene(32, 24))[1].tobytes()
    data = cv2.imencode(".jpg", scene(320, 240))[1].tobytes()
    block = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:2] + block + data[2:])
    assert read_picture(path).shape == (240, 320, 3)
    path.write_bytes((data[:2] + block + data[2:])[:-400])
    with pytest.raises(UsageError, match="cut short"):
        read_picture(path)


def test_trailing_bytes_are_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(cv2.imencode(".jpg", scene())[1].tobytes() + b"\0" * 100)
    assert read_picture(path).shape == (48, 64, 3)


def test_a_picture_that_the_runtime_does_not_take(tmp_path: Path) -> None:
    for name, side in (("1.png", media.MAX_SIDE_PX), ("2.png", media.MAX_SIDE_PX + 1)):
        writers.write_picture(tmp_path / name, np.zeros((side, 1, 3), np.uint8))
    assert len(read_picture(tmp_path / "1.png")) == media.MAX_SIDE_PX
    with pytest.raises(UsageError, match=r"2\.png: the picture has 1x32768 pixels"):
        read_picture(tmp_path / "2.png")


def test_a_text_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("hello")
    with pytest.raises(UsageError, match="not a picture"):
        read_picture(path)


def test_folders_are_read_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.jpg", "a2.PNG", "a10.png", "1.jpg"):
        writers.write_picture(tmp_path / name, scene())
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "sub.jpg").mkdir()
    source = open_source(str(tmp_path))
    assert (source.kind, source.frame_count, source.name) == ("pictures", 5, tmp_path.name)
    assert [frame.name for frame in source] == ["1.jpg", "9.jpg", "10.jpg", "a2.PNG", "a10.png"]


def test_an_unreadable_picture_of_a_folder_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writers.write_picture(tmp_path / "1.jpg", scene())
    (tmp_path / "2.jpg").write_bytes(b"\xff\xd8\xff")
    writers.write_picture(tmp_path / "3.jpg", scene())
    source = open_source(str(tmp_path))
    assert [(frame.index, frame.name) for frame in source] == [(0, "1.jpg"), (2, "3.jpg")]
    assert source.unreadable == ["2.jpg"]
    assert "2.jpg" in capsys.readouterr().err


def test_empty_folder_and_missing_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pictures"):
        list_pictures(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        open_source(str(tmp_path / "none.jpg"))


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="camera 97 cannot be opened"):
        open_source("97")


def test_a_video_has_frames_and_times(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "v.mp4", 10)))
    assert (source.kind, source.frame_count, source.name) == ("video", 10, "v")
    assert source.fps == pytest.approx(12.5)
    frames = list(source)
    source.close()
    assert [frame.index for frame in frames] == list(range(10))
    assert [frame.time_ns for frame in frames] == [pytest.approx(80e6 * i, abs=1e6) for i in range(10)]
    left = [int(frame.image[:, 1:6].mean()) for frame in frames]
    assert all(abs(value - 10 * index) < 6 for index, value in enumerate(left))


def test_times_count_from_the_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamps of OpenCV count from the start of the stream, whose first frames may be undecodable."""
    source = open_source(str(write_video(tmp_path / "v.mp4", 3)))
    assert isinstance(source, media.VideoSource)
    capture = source._capture
    stamps = iter([5000.0, 5080.0, float("nan")])

    class Late:
        read, release = capture.read, capture.release

        def get(self, what: int) -> float:
            return next(stamps) if what == cv2.CAP_PROP_POS_MSEC else float(capture.get(what))

    monkeypatch.setattr(source, "_capture", Late())
    assert [frame.time_ns for frame in source] == [0, 80_000_000, 160_000_000]


def test_ticks_of_the_clock_are_no_frame_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """OpenCV says 1000 where a WebM file states no rate, and counts the frames by it."""
    path = write_video(tmp_path / "v.mp4", 10)

    class Ticks:
        def __init__(self, *args: Any) -> None:
            self.capture = opened(*args)
            self.read, self.release, self.isOpened = (
                getattr(self.capture, name) for name in ("read", "release", "isOpened")
            )

        def get(self, what: int) -> float:
            told = {cv2.CAP_PROP_FPS: 1000.0, cv2.CAP_PROP_FRAME_COUNT: 800.0}
            return told.get(what) or float(self.capture.get(what))

    opened = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Ticks)
    assert open_source(str(path)).fps == 1000
    source = open_source(str(path.rename(tmp_path / "v.webm")))
    assert (source.fps, source.frame_count) == (None, None)
    assert len(list(source)) == 10
    assert capsys.readouterr().err == ""


def test_a_video_has_the_size_of_its_first_frame(tmp_path: Path) -> None:
    """OpenCV stretches the others, as docs/run.md says."""
    path = tmp_path / "v.mjpeg"
    across = np.zeros((120, 160, 3), np.uint8)
    across[:, 80:] = 255
    upright = np.ascontiguousarray(across.transpose(1, 0, 2)[::-1])  # its right half is its upper one
    pictures = [cv2.imencode(".jpg", image)[1].tobytes() for image in (across, upright)]
    path.write_bytes(b"".join(pictures * 2))
    frames = [frame.image for frame in open_source(str(path))]
    assert [frame.shape for frame in frames] == [(120, 160, 3)] * 4
    assert all(frame[:50].mean() > 250 > 5 > frame[70:].mean() for frame in frames[1::2])


def test_a_colon_in_a_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("12:30.mp4"), 3)
    assert len(list(open_source("12:30.mp4"))) == 3


def test_a_path_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """OpenCV would crash."""
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    with pytest.raises(UsageError, match="not UTF-8"), writers.open_video(path, fps=10):
        pass
    path.write_bytes(write_video(tmp_path / "v.mp4", 3).read_bytes())
    with pytest.raises(UsageError, match="not UTF-8") as caught:
        media.open_source(str(path))
    assert caught.value.hint == "rename the file or folder"


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x20ftypisom" + b"\0" * 200])
def test_what_is_no_video_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        list(open_source(str(path)))
    assert str(path) in caught.value.message and caught.value.hint


def test_a_video_without_a_frame_names_its_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(str(write_video(tmp_path / "v.mp4", 2)))
    assert isinstance(source, media.VideoSource)
    with contextlib.suppress(StopIteration):
        for _ in range(2):
            source._capture.read()  # nothing is left, as where nothing can be decoded
    with pytest.raises(UsageError, match=r"not one frame can be decoded \(codec 'FMP4'\)") as refused:
        list(source)
    assert refused.value.hint is not None and "AV1" in refused.value.hint


class Endless:
    """Frames without end, or an error after some."""

    kind: Any = "video"
    name = "endless"
    frame_count = None
    fps = None

    def __init__(self, fail_at: int | None = None) -> None:
        self.unreadable: list[str] = []
        self.made = 0
        self.closed = False
        self.fail_at = fail_at

    def __iter__(self) -> Iterator[media.Frame]:
        while True:
            if self.made == self.fail_at:
                raise UsageError("broken frame")
            yield media.Frame(scene(), self.made, str(self.made), 0)
            self.made += 1

    def close(self) -> None:
        self.closed = True


def test_reading_ahead_is_bounded_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_END_S", 60)  # a busy machine is no reader that is blocked
    source = Endless()
    with ReadAhead(source, frames=3) as frames:
        names = [frame.name for frame, _ in zip(frames, range(5), strict=False)]
    assert names == ["0", "1", "2", "3", "4"] and source.closed
    assert source.made <= 5 + 3 + 2


def test_reading_ahead_keeps_the_limit_and_passes_errors_on() -> None:
    with ReadAhead(Endless(), limit=4) as frames:
        assert len(list(frames)) == 4
    with ReadAhead(Endless(fail_at=2)) as frames, pytest.raises(UsageError, match="broken frame"):
        list(frames)


def test_the_end_does_not_wait_for_a_reader_that_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_END_S", 0.2)
    free = threading.Event()

    class Blocked(Endless):
        def __iter__(self) -> Iterator[media.Frame]:
            free.wait(60)
            yield from ()

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), ReadAhead(Blocked()):
        raise KeyboardInterrupt
    assert time.monotonic() - started < 30
    free.set()
