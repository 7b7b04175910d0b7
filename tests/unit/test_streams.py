"""Live sources: streams of the network, whose frames are dropped where nobody takes them in time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from edgepose import media
from edgepose.errors import ConfigurationError, UsageError
from edgepose.media import Frame, is_pictures, load_cv2, open_source
from edgepose.read_ahead import ReadAhead
from edgepose.writers import open_video

cv2 = load_cv2()
FRAMES = 12


def _grey(level: int) -> media.Image:
    return np.full((48, 64, 3), level, np.uint8)


@contextmanager
def _served(body: bytes | None, damaged: Iterable[int] = ()) -> Iterator[str]:
    """Serve a file, or a camera's endless pictures (MJPEG) that end after some, at http://HOST."""

    class Answer(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            if body is not None:
                self.send_header("Content-Type", "video/mp4")
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body if body is not None else b"".join(map(self.part, range(FRAMES))))

        @staticmethod
        def part(number: int) -> bytes:
            jpeg = cv2.imencode(".jpg", _grey(20 * number))[1].tobytes()
            jpeg = bytes(len(jpeg)) if number in damaged else jpeg
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            return head.encode() + jpeg + b"\r\n"

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_stream_is_read_and_its_password_kept() -> None:
    with _served(None) as host:
        url = f"http://me:secret@{host}/live/1.jpg?token=secret"
        assert not is_pictures(url)
        source = open_source(url)
        frames = list(source)
        source.close()
    assert source.kind == "camera" and source.frame_count is None
    assert [round(frame.image.mean() / 20) for frame in frames] == list(range(FRAMES))
    assert source.name == host.replace(":", "-") + "-live-1.jpg"
    assert frames[3].name == f"{source.name}#3"
    times = [frame.time_ns for frame in frames]
    assert times[0] == 0 and times == sorted(times)


@pytest.mark.parametrize("damaged", [{5}, {4, 5, 6}, {0}])
def test_a_damaged_picture_does_not_end_a_stream(
    damaged: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with _served(None, damaged) as host:
        source = open_source(f"http://{host}/live")
        frames = list(source)
        source.close()
    levels = [round(frame.image.mean() / 20) for frame in frames]
    assert levels == [number for number in range(FRAMES) if number not in damaged]
    assert [frame.index for frame in frames] == list(range(len(levels)))
    count = f"{len(damaged)} damaged frame{'s' * (len(damaged) > 1)}"
    assert f"{source.name}: left out {count}\n" in capsys.readouterr().err


def test_a_camera_that_delivers_nothing_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        reads = 0

        def __init__(self, *args: object) -> None:
            pass

        def isOpened(self) -> bool:
            return True

        def get(self, what: int) -> float:
            return 0.0

        def read(self) -> tuple[bool, None]:
            Silent.reads += 1
            threading.Event().wait(0.02)
            return False, None

    monkeypatch.setattr(cv2, "VideoCapture", Silent)
    monkeypatch.setattr(media, "_NO_FRAME_S", 0.1)
    with pytest.raises(ConfigurationError, match="camera0 delivers no frames"):
        list(open_source("0"))
    assert Silent.reads <= 6


def test_a_file_behind_a_url_is_no_stream(tmp_path: Path) -> None:
    with open_video(tmp_path / "v.mp4", fps=10) as video:
        for level in range(0, 200, 10):
            video.write(_grey(level))
    with _served((tmp_path / "v.mp4").read_bytes()) as host, pytest.raises(UsageError) as refused:
        open_source(f"http://me:secret@{host}/v.mp4")
    assert refused.value.message == f"http://{host}/v.mp4: a video file, not a live stream"
    assert refused.value.hint == "download it first"


@pytest.mark.parametrize("url", ["rtsp://me:secret@127.0.0.1:9/live", "HTTP://me:secret@127.0.0.1:9/live"])
def test_a_stream_that_is_not_there_is_named_without_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:9/live cannot be opened") as refused:
        open_source(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("cam/live?token=secret#secret", "cam/live"),
        ("me:secret@cam:554/a/b", "cam:554/a/b"),
        ("me:secr/secret@cam/live", "cam/live"),
        ("me:secr#secret@cam/live", "cam/live"),
        ("me:1?secret@cam/live?token=secret", "cam/live"),
        ("me:[secret@cam/live", "cam/live"),
        ("[::1/live", "[::1/live"),
        ("cam/live?mail=secret@x", "cam/live"),
        ("192.168.1.5:554/cam?user=me@home.org&password=secret", "192.168.1.5:554/cam"),
        ("[::1]:80/x?m=a@b&token=secret", "[::1]:80/x"),
        ("me:12?secret@cam:80/y", "cam:80/y"),
        ("me:s@cret?secret@cam/y", "cam/y"),
        ("me:1234/secret@cam/y?token=secret", "cam/y"),
        ("me:secret@cam/live?mail=secret@x&token=secret", "x"),  # too much is left out
    ],
)
def test_what_is_shown_of_an_address(address: str, shown: str) -> None:
    name, text = media._name_of_stream(f"rtsp://{address}")
    assert text == f"rtsp://{shown}" and "secret" not in name


def test_channels_that_differ_in_the_query_have_names_of_their_own() -> None:
    """Their results would lie in one folder."""
    addresses = [
        f"rtsp://me:secret@cam:554/realmonitor?channel={channel}&subtype=0" for channel in range(1, 17)
    ]
    names = [media._name_of_stream(address)[0] for address in addresses]
    assert len(set(names)) == 16 and all(name.startswith("cam-554-realmonitor-") for name in names)
    # A token of each day is no other input.
    changed = [address.replace("secret", "x") + f"&token={n}" for n, address in enumerate(addresses)]
    assert names == [media._name_of_stream(address)[0] for address in changed]
    assert media._name_of_stream("rtsp://me:1?secret@cam/live")[0] == "cam-live"
    for query in ("?action=stream_{}", "?mode=jpeg&monitor={}", "?inst={}", "?{}"):
        assert len({media._name_of_stream(f"http://cam/{query.format(n)}")[0] for n in range(3)}) == 3
    assert len({media._name_of_stream(f"http://cam/?id_token={n}&expires={n}")[0] for n in range(3)}) == 1


def test_a_long_address_gives_a_name_that_a_file_can_have() -> None:
    name, text = media._name_of_stream("https://host/" + "a" * 400 + "/live.m3u8")
    assert len(name) == 100 and text.endswith("a/live.m3u8")


def test_a_device_file_is_a_camera() -> None:
    with pytest.raises(ConfigurationError, match="camera /dev/null cannot be opened"):
        open_source("/dev/null")


class _Live:
    """Delivers its frames when it is told to."""

    kind = "camera"
    name = "live"
    frame_count = None
    fps = None

    def __init__(self) -> None:
        self.unreadable: list[str] = []
        self.delivered = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for index in range(FRAMES):
            yield Frame(_grey(0), index, f"live#{index}", index)
        self.delivered.set()

    def close(self) -> None:
        """Do nothing."""


def test_what_nobody_takes_in_time_is_dropped_and_counted() -> None:
    source = _Live()
    with ReadAhead(source, frames=3) as reader:
        assert source.delivered.wait(30)
        assert [frame.index for frame in reader] == [FRAMES - 3, FRAMES - 2, FRAMES - 1]
    assert reader.dropped == FRAMES - 3


def test_the_limit_counts_what_was_given() -> None:
    source = _Live()
    with ReadAhead(source, frames=3, limit=2) as reader:
        assert source.delivered.wait(30)
        assert [frame.index for frame in reader] == [FRAMES - 3, FRAMES - 2]


def test_what_comes_after_the_limit_is_not_counted_as_dropped() -> None:
    class Endless(_Live):
        def __iter__(self) -> Iterator[Frame]:
            while True:
                yield from super().__iter__()

    with ReadAhead(Endless(), frames=3, limit=2) as reader:
        frames = iter(reader)
        next(frames)
        next(frames)
        before = reader.dropped
        reader._thread.join(30)  # while the last frame is worked on
        assert not reader._thread.is_alive() and reader.dropped <= before + 1
        assert list(frames) == []
