"""Device profiles: those that ship are right, wrong ones are refused by name."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from edgepose.bench import fleet
from edgepose.cli.main import main
from edgepose.device import adb
from edgepose.device.adb import AdbDevice, AdbTransport
from edgepose.device.connect import open_transport
from edgepose.device.profile import load_profile, parse_profile, profile_names, user_folder, with_address
from edgepose.errors import ConfigurationError, DeviceError, DeviceLostError, UsageError

GOOD = """\
title: A board
transport: ssh
abi: aarch64-linux
engines: [ncnn]
threads: [1, 4]
folder: edgepose-bench
big: [4, 5]
references:
- {claim: "10 ms", source: "https://example.org"}
"""


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profiles_are_valid(name: str) -> None:
    profile = load_profile(name)
    assert profile.engines and profile.threads and profile.title
    assert profile.verified is False  # until a result measured on it is recorded
    assert not set(profile.big) & set(profile.little)


def test_a_board_whose_cores_lack_half_precision_promises_none() -> None:
    """The Cortex-A72 and A53 are of ARMv8.0: fp16 and dot products came with 8.2."""
    profile = load_profile("rk3576")
    assert (profile.big, profile.little, profile.features) == ((4, 5, 6, 7), (0, 1, 2, 3), ())


def test_a_profile_is_read() -> None:
    profile = parse_profile(GOOD, name="b", where="b.yaml")
    assert (profile.transport, profile.big, profile.threads) == ("ssh", (4, 5), (1, 4))
    assert profile.references[0].claim == "10 ms"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title: A board", "title: ''"), "title"),
        (("transport: ssh", "transport: usb"), "transport is 'usb'"),
        (("abi: aarch64-linux", "abi: z80"), "abi"),
        (("engines: [ncnn]", "engines: ncnn"), "engines"),
        (("threads: [1, 4]", "threads: [0]"), "threads"),
        (("threads: [1, 4]", "threads: [true]"), "threads"),
        (("threads: [1, 4]", "threads: []"), "threads is empty"),
        (("folder: edgepose-bench", "folder: /"), "folder"),
        (("folder: edgepose-bench", "folder: a/../.."), "folder"),
        (("folder: edgepose-bench", "folder: ~/bench"), "folder"),
        (("folder: edgepose-bench", "ports: 22"), "folder is missing"),
        (("big: [4, 5]", "bigs: [4, 5]"), "bigs is unknown"),
        (("big: [4, 5]", "port: 99999"), "port"),
        (("big: [4, 5]", "verified: maybe"), "verified"),
        (("big: [4, 5]", "max_temperature_c: hot"), "max_temperature_c"),
        (("claim: ", "clam: "), "references"),
        (("title: A board", "title: [A"), "no YAML"),
    ],
)
def test_wrong_profiles_are_refused(change: tuple[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("[", r"\[")):
        parse_profile(GOOD.replace(*change), name="b", where="b.yaml")


@pytest.mark.parametrize("member", ["title: A board", "threads: [1]"])
def test_a_profile_whose_aliases_grow(member: str) -> None:
    """300 bytes that are a text of 100 kB; a level more multiplies it by 30."""
    levels = ["x0: &x0 [a, a]", *(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 30)}]" for n in range(1, 4))]
    name = member.partition(":")[0]
    text = "\n".join([*levels, re.sub(f"(?m)^{name}: .*$", f"{name}: *x3", GOOD)])
    with pytest.raises(ConfigurationError, match=f"b.yaml: {name} is ") as caught:
        parse_profile(text, name="b", where="b.yaml")
    assert len(caught.value.message) < 300


def test_own_profiles_and_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    user_folder().mkdir(parents=True)
    (user_folder() / "mine.yaml").write_text(GOOD)
    assert "mine" in profile_names() and load_profile("mine").title == "A board"
    with pytest.raises(UsageError, match="no device 'hst'") as caught:
        load_profile("hst")
    assert caught.value.hint == "did you mean host?"
    with pytest.raises(UsageError):
        load_profile("../mine")


@pytest.mark.parametrize(
    ("given", "address", "port"),
    [
        ("board", "board", None),
        ("me@board:2222", "me@board", 2222),
        ("board:99999", "board:99999", None),
        ("2001:db8::10", "2001:db8::10", None),
        ("me@[2001:db8::10]:2222", "me@2001:db8::10", 2222),
        ("[2001:db8::10]", "2001:db8::10", None),
    ],
)
def test_host_and_port(given: str, address: str, port: int | None) -> None:
    profile = with_address(parse_profile(GOOD, name="b", where="b.yaml"), given)
    assert (profile.address, profile.port) == (address, port)


def test_this_machine_takes_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["devices", "add", "mine", "--like", "host", "--address", "me@board"]) == 2
    assert "error: host is this machine and has no address" in capsys.readouterr().err
    assert not user_folder().exists()


def test_what_stands_in_the_folder_of_own_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    user_folder().mkdir(parents=True)
    (user_folder() / "My-Board.yaml").write_text(GOOD)  # no name of a device
    assert main(["devices", "list"]) == 0
    assert "My-Board" not in capsys.readouterr().out
    (user_folder() / "mine.yaml").write_bytes(GOOD.replace("A board", "Köln").encode("latin-1"))
    assert main(["devices", "list"]) == 3
    assert f"error: {user_folder() / 'mine.yaml'}: not UTF-8" in capsys.readouterr().err


def test_a_broken_profile_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(adb, "adb_devices", list)
    user_folder().mkdir(parents=True)
    (user_folder() / "broken.yaml").write_text("title: A\ntransport: usb\n")
    (user_folder() / "folder.yaml").mkdir()
    (user_folder() / "gone.yaml").symlink_to("nothing")
    (user_folder() / "mine.yaml").write_text(GOOD)
    wrong = {"broken": "transport is 'usb'", "folder": "Is a directory", "gone": "No such file"}
    assert main(["devices", "list"]) == 3
    said = capsys.readouterr()
    assert "mine  " in said.out and "rk3588" in said.out
    assert main(["devices", "list", "--json"]) == 3
    names = [profile["name"] for profile in json.loads(capsys.readouterr().out)]
    assert "mine" in names and "host" in names and not wrong.keys() & set(names)
    assert main(["devices", "detect"]) == 0
    detected = capsys.readouterr()
    assert detected.out.startswith("host ")
    for name, message in wrong.items():
        line = f"{user_folder() / name}.yaml: {message}"
        assert said.err.count(f"error: {line}") == 1
        assert detected.err.count(f"warning: a profile is left out: {line}") == 1
        assert main(["devices", "show", name]) == 3
        assert capsys.readouterr().err.startswith(f"error: {line}")


def test_files_of_an_own_profile_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    files = ["--identity", "key", "--ssh-config", "~/.ssh/lab"]
    assert main(["devices", "add", "mine", "--like", "rk3588", "--address", "board", *files]) == 0
    profile = load_profile("mine")
    assert (profile.identity, profile.ssh_config) == (str(tmp_path / "key"), "/home/me/.ssh/lab")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user whom the system does not know, as in a container."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_the_variable_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "list"]) == 3
    assert capsys.readouterr().err == (
        "error: ~/.config: there is no such home folder\n"
        "hint: let XDG_CONFIG_HOME name the folder that holds edgepose/devices, your profiles\n"
    )


@pytest.mark.parametrize("option", ["--identity", "--ssh-config"])
def test_a_file_in_a_home_folder_that_is_not_there(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    command = ["devices", "add", "mine", "--like", "rk3588", "--address", "board"]
    assert main([*command, option, "~no-such-user/k"]) == 2
    assert capsys.readouterr().err.startswith("error: ~no-such-user/k: there is no such home folder\nhint: ")
    member = option.removeprefix("--").replace("-", "_")
    profile = parse_profile(f"{GOOD}\n{member}: ~no-such-user/k\n", name="b", where="b.yaml")
    # Of this device alone: bench --all goes on with the others.
    with pytest.raises(DeviceError, match="b: ~no-such-user/k: there is no such home folder"):
        open_transport(replace(profile, address="board"))


def test_a_profile_with_an_address_is_for_that_phone_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    phones = [AdbDevice(serial, "device", "") for serial in ("one", "two")]
    for module in (adb, fleet):
        monkeypatch.setattr(module, "adb_devices", lambda: phones)
    monkeypatch.setattr(AdbTransport, "connect", lambda phone: None)
    monkeypatch.setattr(AdbTransport, "facts", lambda phone: {"soc": "SM8250"})
    assert main(["devices", "add", "my-phone", "--like", "sd865", "--address", "one"]) == 0
    assert fleet.attached_devices() == {"my-phone": "my-phone", "two": "sd865=two"}
    capsys.readouterr()
    assert main(["devices", "detect"]) == 0
    said = capsys.readouterr().out
    assert "use --device my-phone\n" in said and "use --device sd865=two\n" in said


def test_chips_that_share_a_platform_are_told_apart() -> None:
    profiles = [load_profile(name) for name in ("sd865", "sd888")]
    assert fleet.fitting_profile({"soc": "SM8350", "platform": "lahaina"}, profiles) == "sd888"
    assert fleet.fitting_profile({"soc": "", "platform": "lahaina"}, profiles) == "sd888"
    assert fleet.fitting_profile({"soc": "SM7325", "platform": "lahaina"}, profiles) is None
    assert fleet.fitting_profile({}, profiles) is None
    profiles += [replace(profiles[0], name=name, socs=(name,)) for name in ("Lahaina", "taro")]
    assert fleet.fitting_profile({"soc": "SM8450", "platform": "taro"}, profiles) == "taro"
    assert fleet.fitting_profile({"soc": "SM7325", "platform": "lahaina"}, profiles) == "Lahaina"
    assert fleet.fitting_profile({"soc": "SM8350", "platform": "lahaina"}, profiles) == "sd888"
    assert fleet.fitting_profile({"soc": "SM8550", "platform": ""}, profiles) is None


def test_a_phone_that_says_nothing_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def facts(phone: AdbTransport) -> dict[str, str]:
        if phone.address == "one":
            raise DeviceLostError("one: lost")
        return {"soc": "SM8250"}

    phones = [AdbDevice(serial, "device", "") for serial in ("one", "two")]
    monkeypatch.setattr(adb, "adb_devices", lambda: phones)
    monkeypatch.setattr(AdbTransport, "facts", facts)
    assert main(["devices", "detect"]) == 0
    said = capsys.readouterr()
    assert "one says nothing about itself: one: lost" in said.err
    assert "one  " in said.out and "use --device sd865=two" in said.out
