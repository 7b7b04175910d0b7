"""`edgepose android install`: the app's assets, and a phone that a script stands in for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from edgepose import android, interrupts
from edgepose.cli.main import main
from edgepose.hashing import sha256_file

BUNDLES = Path(__file__).resolve().parents[1] / "bundles/v1"


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the app run the test bundles, and give an assets folder that does not exist yet."""
    monkeypatch.setattr(android, "BACKENDS", ("ncnn", "fake"))
    (tmp_path / "main").mkdir()
    return tmp_path / "main/assets"


def _install(*arguments: str | Path) -> int:
    return main(["android", "install", *map(str, arguments)])


def test_bundles_and_their_list_are_written(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _install(BUNDLES / "pose", BUNDLES / "detect", "--assets", assets, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in document["bundles"]] == ["pose", "detect"]
    lines = (assets / "bundles/index.txt").read_text().splitlines()
    files = sorted(p for p in (assets / "bundles").rglob("*") if p.is_file() and p.name != "index.txt")
    assert len(lines) == len(files) == sum(len(list((BUNDLES / n).iterdir())) for n in ("pose", "detect"))
    for line in lines:
        digest, size, name = line.split(" ", 2)
        path = assets / "bundles" / name
        assert (digest, int(size)) == (sha256_file(path), path.stat().st_size)
    assert not list(assets.parent.glob(".bundles-*"))


def test_a_second_installation_replaces_the_first(assets: Path) -> None:
    assert _install(BUNDLES / "pose", "--assets", assets) == 0
    assert _install(BUNDLES / "detect", "--assets", assets) == 0
    assert sorted(p.name for p in (assets / "bundles").iterdir()) == ["detect", "index.txt"]


def test_a_signal_within_the_replacement_leaves_the_app_whole(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _install(BUNDLES / "pose", "--assets", assets) == 0
    bundles = android.check([BUNDLES / "detect"])
    rename = Path.rename

    def interrupted(self: Path, to: Path) -> Path:
        moved = rename(self, to)
        if self == assets / "bundles":
            os.kill(os.getpid(), signal.SIGINT)
        return moved

    monkeypatch.setattr(Path, "rename", interrupted)
    with interrupts.answered(), pytest.raises(KeyboardInterrupt):
        android.write_assets(bundles, assets)
        time.sleep(5)
    assert sorted(p.name for p in (assets / "bundles").iterdir()) == ["detect", "index.txt"]
    assert not list(assets.parent.glob(".bundles-*"))


def test_a_damaged_bundle_leaves_the_app_as_it_was(
    assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _install(BUNDLES / "pose", "--assets", assets) == 0
    broken = shutil.copytree(BUNDLES / "detect", tmp_path / "broken")
    (broken / "tiny-detector.fake").write_text("no")
    assert _install(broken, "--assets", assets) == 7
    assert sorted(p.name for p in (assets / "bundles").iterdir()) == ["index.txt", "pose"]
    assert "broken" in capsys.readouterr().err


def test_what_the_app_cannot_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _install(BUNDLES / "pose", "--assets", tmp_path / "assets") == 2
    assert "this one is for fake" in capsys.readouterr().err
    assert _install(tmp_path / "absent", "--assets", tmp_path / "assets") == 2
    assert _install(BUNDLES / "pose") == 2
    assert "--assets" in capsys.readouterr().err
    assert _install(BUNDLES / "pose", "--serial", "x") == 2
    assert _install(BUNDLES / "pose", "--push", "--assets", "app/assets") == 2
    assert not (tmp_path / "assets").exists()


def test_the_assets_must_be_a_folder_outside_every_bundle(
    assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(BUNDLES / "detect", tmp_path / "bundle")
    for place in (bundle, bundle / "assets"):
        assert _install(BUNDLES / "pose", "--assets", place) == 2
        assert f"error: {place}: the results would lie in the bundle {bundle}" in capsys.readouterr().err
    assert len(list(bundle.iterdir())) == len(list((BUNDLES / "detect").iterdir()))
    assert _install(BUNDLES / "pose", "--assets", os.devnull) == 2
    assert capsys.readouterr().err.startswith(f"error: {os.devnull}: is no folder\nhint: --assets ")


def test_two_bundles_of_one_name_and_a_strange_folder_are_refused(assets: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(BUNDLES / "pose", tmp_path / "other/pose")
    assert _install(BUNDLES / "pose", copy, "--assets", assets) == 2
    (assets / "bundles").mkdir(parents=True)
    (assets / "bundles/mine.txt").write_text("keep")
    assert _install(BUNDLES / "pose", "--assets", assets) == 2
    assert (assets / "bundles/mine.txt").read_text() == "keep"


# Keeps the phone's files below $PHONE; $SERIALS: what is connected, $APP: whether the app is there.
_ADB = """#!/bin/sh
if [ "$1" = devices ]; then
  echo "List of devices attached"; for s in $SERIALS; do echo "$s ${STATE:-device}"; done; exit 0
fi
[ "$1" = -s ] || exit 9
echo "$2 $3" >>"$PHONE/calls"; shift 2
[ -z "$BROKEN" ] || { echo "adb: error: device offline" >&2; exit 1; }
case $1 in
  shell)
    [ "$2" = -T ] || exit 9
    cd "$PHONE" && exec sh -c "$(echo "$3" | sed "s#/sdcard#$PHONE/sdcard#g")";;
  push) cp "$2" "$PHONE$3";;
esac
"""
_PM = """#!/bin/sh
[ -n "$APP" ] && echo package:/data/app/base.apk
"""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for adb first on the path; give the folder that is the phone."""
    tools, folder = tmp_path / "tools", tmp_path / "phone"
    tools.mkdir()
    folder.mkdir()
    for name, text in (("adb", _ADB), ("pm", _PM)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PHONE", str(folder))
    monkeypatch.setenv("SERIALS", "emulator-5554")
    monkeypatch.setenv("APP", "1")
    return folder


def test_a_bundle_is_pushed_whole(assets: Path, phone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert _install(BUNDLES / "pose", "--push") == 0
    place = phone / android.DEVICE_FOLDER.removeprefix("/")
    assert [p.name for p in place.iterdir()] == ["pose"]
    assert sorted(p.name for p in (place / "pose").iterdir()) == sorted(
        p.name for p in (BUNDLES / "pose").iterdir()
    )
    assert "emulator-5554:" in capsys.readouterr().out
    assert all(call.startswith("emulator-5554 ") for call in (phone / "calls").read_text().splitlines())


def test_the_phone_must_be_clear_and_answer(
    assets: Path, phone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROKEN", "1")
    assert _install(BUNDLES / "pose", "--push") == 8
    assert "device offline" in capsys.readouterr().err
    monkeypatch.setenv("SERIALS", "one two")
    assert _install(BUNDLES / "pose", "--push") == 2
    assert (
        capsys.readouterr().err
        == "error: several phones are connected: one, two\nhint: name one with --serial\n"
    )
    monkeypatch.setenv("SERIALS", "")
    assert _install(BUNDLES / "pose", "--push") == 8
    monkeypatch.setenv("PATH", str(phone))
    assert _install(BUNDLES / "pose", "--push") == 8


@pytest.mark.parametrize("serial", [(), ("--serial", "emulator-5554")])
def test_a_phone_that_does_not_let_us_in_is_told_so(
    assets: Path,
    phone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    serial: tuple[str, ...],
) -> None:
    monkeypatch.setenv("STATE", "unauthorized")
    assert _install(BUNDLES / "pose", "--push", *serial) == 8
    assert capsys.readouterr().err.splitlines() == [
        "error: emulator-5554 is unauthorized",
        "hint: unlock the device and allow USB debugging for this computer",
    ]
    assert _install(BUNDLES / "pose", "--push", "--serial", "other") == 8
    assert "adb does not see the device other" in capsys.readouterr().err
    assert not (phone / "calls").exists()


@pytest.mark.parametrize(
    ("denied", "said"),
    [
        ("mkdir", "mkdir ended with code 1: mkdir: /sdcard: Permission denied"),
        ("push", "copying bundle.json failed: couldn't create file: Permission denied"),
    ],
)
def test_a_phone_that_denies_the_apps_folder_is_no_matter_of_a_profile(
    assets: Path, phone: Path, capsys: pytest.CaptureFixture[str], denied: str, said: str
) -> None:
    _deny(phone.parent / "tools", denied)
    assert _install(BUNDLES / "pose", "--push") == 8
    assert capsys.readouterr().err.splitlines() == [
        f"error: emulator-5554: {said}",
        "hint: unlock the phone and start the app there once, then again",
    ]


def _deny(tools: Path, what: str) -> None:
    """Let the phone refuse to make a folder, or to take a file."""
    if what == "push":
        text = 'push) echo "adb: error: couldn\'t create file: Permission denied" >&2; exit 1;;'
        (tools / "adb").write_text(_ADB.replace('push) cp "$2" "$PHONE$3";;', text))
        return
    (tools / what).write_text(f'#!/bin/sh\necho "{what}: /sdcard: Permission denied" >&2; exit 1\n')
    (tools / what).chmod(0o755)


def test_a_phone_without_the_app_gets_nothing(
    assets: Path, phone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APP", "")
    assert _install(BUNDLES / "pose", "--push") == 8
    assert f"emulator-5554: the app {android.PACKAGE} is not installed there" in capsys.readouterr().err
    assert sorted(p.name for p in phone.iterdir()) == ["calls"]


def test_a_phone_that_is_ready_is_taken_before_a_locked_one(
    assets: Path, phone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states = 'case $s in locked) echo "$s unauthorized";; *) echo "$s device";; esac'
    (phone.parent / "tools" / "adb").write_text(_ADB.replace('echo "$s ${STATE:-device}"', states))
    monkeypatch.setenv("SERIALS", "locked emulator-5554")
    assert _install(BUNDLES / "pose", "--push") == 0
    assert "emulator-5554:" in capsys.readouterr().out
