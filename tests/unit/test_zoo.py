"""Downloads of the zoo against a real HTTP server on loopback that misbehaves by script."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_double import BODY, Reply, Server

from edgepose import zoo
from edgepose.cli.main import main
from edgepose.errors import CheckpointError, ConfigurationError, UsageError
from edgepose.zoo import ZooModel
from edgepose.zoo import download as transfer
from edgepose.zoo.download import Limits
from edgepose.zoo.store import cached_path, receipt

QUICK = Limits(timeout_s=0.4, attempts=3, backoff_s=0.001)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.stopping.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.delenv("EDGEPOSE_ZOO_MIRROR", raising=False)


def checkpoint(server: Server, body: bytes = BODY, **changes: Any) -> ZooModel:
    """Make a model whose file the server has."""
    prefix = hashlib.sha256(body).hexdigest()[:8]
    model = dataclasses.replace(
        zoo.find("rtmpose-s"), file=f"net-{prefix}.pth", url=f"{server.base}/v1/net-{prefix}.pth"
    )
    return dataclasses.replace(model, sha256_prefix=prefix, **changes)


def part_of(model: ZooModel) -> Path:
    return cached_path(model).with_name(model.file + ".part")


def left_over(model: ZooModel) -> list[str]:
    return sorted(path.name for path in cached_path(model).parent.iterdir() if path.suffix != ".lock")


def test_pulls_once_and_notes_where_from(server: Server) -> None:
    model = checkpoint(server)
    path = zoo.pull(model, limits=QUICK)
    assert path == cached_path(model) and path.read_bytes() == BODY
    assert zoo.pull(model, limits=QUICK) == path and len(server.requests) == 1
    noted = receipt(model)
    assert noted is not None
    assert (noted["sha256"], noted["url"]) == (hashlib.sha256(BODY).hexdigest(), model.url)
    assert left_over(model) == [model.file, model.file + ".json"]


@pytest.mark.parametrize("chunked", [False, True])
def test_resumes_after_a_cut_connection(server: Server, chunked: bool) -> None:
    server.plan = [Reply(cut_after=100_000, chunked=chunked), Reply(cut_after=50_000, chunked=chunked)]
    model = checkpoint(server)
    assert zoo.pull(model, limits=QUICK).read_bytes() == BODY
    asked = [headers.get("Range") for _, headers in server.requests]
    assert asked == [None, "bytes=100000-", "bytes=150000-"]
    assert [headers.get("If-Range") for _, headers in server.requests] == [None, '"one"', '"one"']


def test_resumes_in_a_later_run(server: Server) -> None:
    server.plan = [Reply(cut_after=100_000), *[Reply(cut_after=0)] * 2]
    model = checkpoint(server)
    with pytest.raises(ConfigurationError, match="cut after 100000 of 300000 bytes") as caught:
        zoo.pull(model, limits=QUICK)
    assert "0.1 MB are kept" in str(caught.value.hint)
    assert len(part_of(model).read_bytes()) == 100_000 and not cached_path(model).exists()
    assert zoo.pull(model, limits=QUICK).read_bytes() == BODY
    assert server.requests[-1][1]["Range"] == "bytes=100000-"


def test_promises_no_resume_without_a_validator(server: Server) -> None:
    server.default = Reply(cut_after=100_000, etag=None)
    model = checkpoint(server)
    with pytest.raises(ConfigurationError, match="cut after 100000 of 300000 bytes") as caught:
        zoo.pull(model, limits=QUICK)
    assert len(part_of(model).read_bytes()) == 100_000
    assert str(caught.value.hint).startswith("run the command again, which begins anew, or let EDGEPOSE_ZOO")


def test_begins_again_where_the_server_ignores_ranges(server: Server) -> None:
    server.plan = [Reply(cut_after=100_000, ranges=False)]
    server.default = Reply(ranges=False)
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY
    assert len(server.requests) == 2


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"one"'}])
def test_begins_again_without_a_strong_validator(server: Server, headers: dict[str, str]) -> None:
    server.plan = [Reply(cut_after=100_000, etag=None, headers=headers)]
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY
    assert "Range" not in server.requests[1][1]


def test_resumes_by_the_date_where_there_is_no_etag(server: Server) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.plan = [Reply(cut_after=100_000, etag=None, headers={"Last-Modified": date})]
    server.default = Reply(etag=date, headers={"ETag": "", "Last-Modified": date})
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY
    assert server.requests[1][1]["If-Range"] == date


def test_begins_again_when_the_etag_changed(server: Server) -> None:
    server.plan = [Reply(body=b"x" * 200_000, cut_after=100_000)]
    server.default = Reply(etag='"two"')
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY
    assert [headers.get("Range") for _, headers in server.requests] == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    "lie",
    [
        {"ETag": '"two"'},
        {"Content-Range": "bytes 0-299999/300000"},
        {"Content-Range": "bytes 100000-299999/300001"},
        {"Content-Range": "nonsense"},
    ],
)
def test_discards_a_continuation_of_something_else(server: Server, lie: dict[str, str]) -> None:
    server.plan = [Reply(cut_after=100_000), Reply(headers=lie)]
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY
    assert [headers.get("Range") for _, headers in server.requests] == [None, "bytes=100000-", None]


def test_pulls_anew_when_the_joined_pieces_are_wrong(server: Server) -> None:
    server.plan = [Reply(body=b"x" * len(BODY), cut_after=100_000)]  # another file with the same ETag
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY
    assert [headers.get("Range") for _, headers in server.requests] == [None, "bytes=100000-", None]


def test_takes_a_part_that_was_already_complete(server: Server) -> None:
    model = checkpoint(server)
    path = zoo.pull(model, limits=QUICK)
    part = path.rename(part_of(model))
    transfer.state_path(part).write_text(
        json.dumps({"url": model.url, "validator": None, "total": len(BODY)})
    )
    assert zoo.pull(model, limits=QUICK).read_bytes() == BODY
    assert len(server.requests) == 1


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"url": 1, "validator": 2, "total": "x"}', None])
def test_ignores_a_part_of_unknown_origin(server: Server, state: str | None) -> None:
    model = checkpoint(server)
    cached_path(model).parent.mkdir(parents=True)
    part_of(model).write_bytes(b"rubbish")
    if state is not None:
        transfer.state_path(part_of(model)).write_text(state)
    assert zoo.pull(model, limits=QUICK).read_bytes() == BODY
    assert "Range" not in server.requests[0][1]


def test_removes_a_file_with_the_wrong_hash(server: Server) -> None:
    server.default = Reply(body=b"x" * 1000)
    model = checkpoint(server)
    with pytest.raises(CheckpointError, match=f"should begin with {model.sha256_prefix}"):
        zoo.pull(model, limits=QUICK)
    assert left_over(model) == [] and len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "message", "requests"),
    [
        (Reply(status=404), "HTTP 404", 1),
        (Reply(status=403), "HTTP 403", 1),
        (Reply(status=503), "HTTP 503", 3),
        (Reply(cut_after=0), "cut after 0 of 300000 bytes", 3),
        (Reply(hang_after=0), "does not answer in time", 3),
        (Reply(hang_after=1000), "does not answer in time", 3),
        (Reply(headers={"Content-Type": "text/html; charset=utf-8"}), "web page", 1),
        (Reply(headers={"Content-Encoding": "gzip"}), "compresses", 1),
        (Reply(headers={"Content-Length": ""}), "does not say how long", 1),
        (Reply(headers={"Content-Length": "99999999999"}), "larger than any checkpoint", 1),
        (Reply(body=b""), "a file of 0 bytes", 1),
    ],
)
def test_gives_up_with_the_reason(server: Server, reply: Reply, message: str, requests: int) -> None:
    server.default = reply
    model = checkpoint(server)
    with pytest.raises(ConfigurationError, match=message):
        zoo.pull(model, limits=QUICK)
    assert len(server.requests) == requests and not cached_path(model).exists()


def test_stops_an_endless_answer(server: Server) -> None:
    server.default = Reply(chunked=True)
    with pytest.raises(ConfigurationError, match="more bytes than it may"):
        zoo.pull(checkpoint(server), limits=dataclasses.replace(QUICK, max_bytes=1000))


def test_tries_again_after_500_and_waits_as_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("edgepose.zoo.download.time.sleep", waits.append)
    server.plan = [Reply(status=500), Reply(status=429, headers={"Retry-After": "7"})]
    assert zoo.pull(checkpoint(server), limits=Limits(timeout_s=2.0)).read_bytes() == BODY
    assert waits == [1.0, 7.0]


def test_progress_earns_new_attempts(server: Server) -> None:
    server.default = Reply(cut_after=20_000)
    limits = dataclasses.replace(QUICK, progress_bytes=20_000)
    assert zoo.pull(checkpoint(server), limits=limits).read_bytes() == BODY
    assert len(server.requests) == 15


def test_follows_redirects_on_the_same_host(server: Server) -> None:
    server.plan = [Reply(status=302, headers={"Location": "/elsewhere.pth"}), Reply(cut_after=1000)]
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY
    assert [path for path, _ in server.requests][1] == "/elsewhere.pth"
    assert server.requests[2][1]["Range"] == "bytes=1000-"


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:1", "user@127.0.0.1:x{port}"])
def test_refuses_redirects_to_other_services(server: Server, host: str) -> None:
    server.plan = [
        Reply(status=302, headers={"Location": f"http://{host.format(port=server.server_port)}/x"})
    ]
    with pytest.raises(ConfigurationError, match="refused a redirect to"):
        zoo.pull(checkpoint(server), limits=QUICK)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("https://a/x", "https://a/y", True),
        ("https://a/x", "https://a:443/y", True),
        ("http://a/x", "https://a/y", True),
        ("https://a/x", "http://a/y", False),
        ("https://a/x", "https://a:444/y", False),
        ("https://a/x", "https://b/y", False),
        ("https://a/x", "ftp://a/y", False),
        ("https://a/x", "file:///y", False),
    ],
)
def test_which_redirects_stay_at_home(before: str, after: str, same: bool) -> None:
    assert transfer._is_same_service(before, after) is same


def test_offline_takes_only_what_is_cached(server: Server) -> None:
    model = checkpoint(server)
    with pytest.raises(ConfigurationError, match="not in the cache"):
        zoo.pull(model, offline=True)
    path = zoo.pull(model, limits=QUICK)
    assert zoo.pull(model, offline=True) == path
    path.write_bytes(BODY[:-1] + b"?")
    with pytest.raises(CheckpointError, match="damaged"):
        zoo.pull(model, offline=True)
    assert len(server.requests) == 1


def test_pulls_a_damaged_file_again(server: Server) -> None:
    model = checkpoint(server)
    zoo.pull(model, limits=QUICK).write_bytes(b"damaged")
    assert zoo.pull(model, limits=QUICK).read_bytes() == BODY


def test_tries_mirrors_in_order(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    model = checkpoint(server)
    monkeypatch.setenv("EDGEPOSE_ZOO_MIRROR", f"{server.base}/first/, {server.base}/second")
    server.plan = [Reply(status=404), Reply(status=404), Reply(body=b"other"), Reply(status=404)]
    assert zoo.pull(model, limits=QUICK).read_bytes() == BODY
    paths = [path for path, _ in server.requests]
    assert paths == [
        f"/first/v1/{model.file}",
        f"/first/{model.file}",
        f"/second/v1/{model.file}",
        f"/second/{model.file}",
        f"/v1/{model.file}",
    ]


def test_goes_past_a_mirror_that_is_down(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPOSE_ZOO_MIRROR", "http://127.0.0.1:1")
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY


def test_goes_past_a_mirror_whose_name_cannot_be_looked_up(server: Server, monkeypatch: Any) -> None:
    monkeypatch.setenv("EDGEPOSE_ZOO_MIRROR", "http://mirror..invalid")
    assert zoo.pull(checkpoint(server), limits=QUICK).read_bytes() == BODY


@pytest.mark.parametrize(
    "mirror",
    [
        "ftp://a",
        "a/b",
        "http://",
        "http://u:p@a",
        "http://a:x",
        "http://[a",
        "http://a/?q",
        "http://a b",
        "https://a/mod\u00e8les",
        "http://\u0437.invalid",
    ],
)
def test_refuses_a_mirror_that_is_no_address(server: Server, monkeypatch: Any, mirror: str) -> None:
    monkeypatch.setenv("EDGEPOSE_ZOO_MIRROR", mirror)
    with pytest.raises(ConfigurationError, match="EDGEPOSE_ZOO_MIRROR"):
        zoo.pull(checkpoint(server))


def test_a_full_disk_is_said_so(server: Server) -> None:
    model = checkpoint(server)
    cached_path(model).parent.mkdir(parents=True)
    part_of(model).symlink_to("/dev/full")  # every write to it fails with ENOSPC
    with pytest.raises(ConfigurationError, match="the disk is full") as caught:
        zoo.pull(model, limits=QUICK)
    assert "EDGEPOSE_CACHE" in str(caught.value.hint) and not cached_path(model).exists()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_small_disk(server: Server, chunked: bool, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("optional: mounting a small tmpfs needs root")
    try:
        server.default = Reply(chunked=chunked)
        model = checkpoint(server)
        with pytest.raises(ConfigurationError, match="the disk is full" if chunked else "not enough space"):
            zoo.pull(model, limits=QUICK)
        assert not cached_path(model).exists()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_cache_that_cannot_be_a_folder(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot use"):
        zoo.pull(checkpoint(server), limits=QUICK)


def _command(server: Server, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "edgepose", "zoo", *arguments],
        env={**os.environ, "EDGEPOSE_ZOO_MIRROR": server.base},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_download_once(server: Server) -> None:
    server.default = Reply(delay_s=1.5)
    both = [_command(server, "pull", "rtmw-m") for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert len(server.requests) == 1 and ends[0][0] == ends[1][0]
    assert Path(ends[0][0].strip()).read_bytes() == BODY
    assert sum("waiting" in err for _, err in ends) == 1
    assert any("upstream gives no checksum" in err for _, err in ends)


@pytest.mark.parametrize("etag", ['"one"', None])
def test_ctrl_c_keeps_the_part_and_says_so(server: Server, etag: str | None) -> None:
    server.plan = [Reply(hang_after=200_000, etag=etag)]
    part = part_of(zoo.find("rtmw-m"))
    process = _command(server, "pull", "rtmw-m")
    deadline = time.monotonic() + 30
    while transfer._length(part) < 200_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT and "0.2 MB are kept" in err and "interrupted" in err, err
    assert ("goes on from there" if etag else ", but the next pull begins again") in err
    again = _command(server, "pull", "rtmw-m", "--json")
    out, _ = again.communicate(timeout=30)
    assert json.loads(out)[0]["path"] == str(cached_path(zoo.find("rtmw-m")))
    assert server.requests[-1][1].get("Range") == ("bytes=200000-" if etag else None)
    assert cached_path(zoo.find("rtmw-m")).read_bytes() == BODY


def test_resolve_takes_paths_and_names(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_ZOO_MIRROR", server.base)
    (tmp_path / "own.pth").write_bytes(b"own")
    (tmp_path / "rtmw-m").mkdir()
    assert zoo.resolve("own.pth") == Path("own.pth")
    assert zoo.resolve("rtmw-m").read_bytes() == BODY
    assert zoo.resolve("RTMW_M", offline=True) == cached_path(zoo.find("rtmw-m"))
    for wrong, message in {
        "missing.pth": "no such file",
        "folder/rtmw-m": "no such file",
        "rtmw-q": "no model",
        "yolox-s-humanart": "cannot be converted",
    }.items():
        with pytest.raises(UsageError, match=message):
            zoo.resolve(wrong)
    for official in (zoo.find("rtmpose-t").url, f"downloads/{zoo.find('rtmpose-t').file}"):
        with pytest.raises(UsageError, match="no such file") as caught:
            zoo.resolve(official)
        assert "this is rtmpose-t of the zoo" in (caught.value.hint or "")


def test_exit_codes_of_the_command(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPOSE_ZOO_MIRROR", server.base)
    assert main(["zoo", "pull", "rtmpos-s"]) == UsageError.exit_code
    assert "did you mean rtmpose-s" in capsys.readouterr().err
    assert main(["zoo", "pull", "rtmpose-s", "--offline"]) == ConfigurationError.exit_code
    assert main(["zoo", "pull", "rtmw-m", "rtmw-l"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
