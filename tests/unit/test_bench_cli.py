"""The command line of `edgepose bench`: what is refused, and what a failed run leaves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edgepose.bench import fleet, session
from edgepose.cli.main import main
from edgepose.device.adb import AdbTransport
from edgepose.device.local import LocalTransport
from edgepose.device.profile import user_folder
from edgepose.errors import DeviceError, DeviceLostError

POSE = str(Path(__file__).resolve().parent.parent / "bundles" / "v1" / "pose")
PROFILE = """\
title: Test
transport: local
engines: [fake]
threads: [1]
folder: unused
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder for results, with a device `test` that is lost once it is asked for its facts."""

    def lost(self: LocalTransport) -> dict[str, str]:
        raise DeviceLostError("test: lost")

    folder = tmp_path / "config" / "edgepose" / "devices"
    folder.mkdir(parents=True)
    (folder / "test.yaml").write_text(PROFILE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(session, "find_runner", lambda abi: tmp_path / "runner")
    monkeypatch.setattr(LocalTransport, "facts", lost)
    return tmp_path / "deep" / "results"


def run(results: Path, *options: str) -> int:
    return main(["bench", POSE, "--device", "test", "-o", str(results), *options])


@pytest.mark.parametrize("flags", [["-v"], ["-q"], ["-vv"], ["-v", "--quiet"]])
def test_flags_before_the_bundle(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *flags, "absent"]) == 2
    assert capsys.readouterr().err.startswith("error: absent: no such bundle")
    assert main(["bench", *flags, "history", "absent"]) == 2
    assert capsys.readouterr().err.startswith("error: absent: no such folder")
    assert main(["bench", *flags, "--help"]) == 0
    assert "history" in capsys.readouterr().out


def test_flags_alone_are_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "-v"]) == 2
    assert capsys.readouterr().err.startswith("error: Missing command")


@pytest.mark.parametrize("order", [1, -1])
def test_a_comparison_names_the_bundle_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: int
) -> None:
    assert main(["bench", "compare", *[POSE, str(tmp_path / "typo")][::order]]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'typo'}: no such bundle")


def test_a_quick_run_has_no_soak(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench, "--quick", "--soak", "600") == 2
    assert "--quick takes no --soak" in capsys.readouterr().err


def test_a_failed_run_leaves_no_empty_folder(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LocalTransport) -> None:
        raise DeviceError("test: refused")

    with monkeypatch.context() as patch:
        patch.setattr(LocalTransport, "connect", refuse)
        assert run(bench) == 8
    assert not bench.parent.exists()
    bench.mkdir(parents=True)
    assert run(bench, "--resume") == 2
    assert bench.is_dir()  # it was there before


def test_results_have_a_folder_outside_the_bundle(
    bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(POSE, tmp_path / "bundle")
    other = shutil.copytree(POSE, tmp_path / "other")
    (tmp_path / "file").touch()
    for out, text in (
        (bundle / "results", f"the results would lie in the bundle {bundle}"),
        (other, f"the results would lie in the bundle {other}"),
        (tmp_path / "file", "is no folder"),
    ):
        assert main(["bench", str(bundle), "--device", "test", "-o", str(out)]) == 2
        assert f"error: {out}: {text}" in capsys.readouterr().err
    assert not (bundle / "results").exists()
    assert len(list(other.iterdir())) == len(list(Path(POSE).iterdir()))


def test_a_broken_profile_costs_the_others_of_all_nothing(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(self: AdbTransport) -> None:
        raise DeviceLostError("test: lost")

    monkeypatch.setattr(fleet, "adb_devices", list)
    monkeypatch.setattr(AdbTransport, "connect", lost)
    profile = PROFILE.replace("local", "adb") + "abi: aarch64-linux\naddress: phone\n"
    (user_folder() / "test.yaml").write_text(profile)
    (user_folder() / "broken.yaml").write_text("title: A\n")
    assert main(["bench", POSE, "--all", "-o", str(bench)]) == 8
    said = capsys.readouterr().err
    assert f"warning: broken: {user_folder() / 'broken.yaml'}: transport is missing" in said
    assert "warning: test: test: lost" in said and "2 of 2 devices gave no result: broken, test" in said
    (user_folder() / "test.yaml").unlink()
    assert main(["bench", POSE, "--all", "-o", str(bench)]) == 3


@pytest.mark.parametrize("names", [("mine", "phone"), ("phone", "phone=A"), ("phone", "other")])
def test_a_phone_without_a_serial_may_be_the_one_beside_it(
    bench: Path, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(self: AdbTransport) -> None:
        raise DeviceLostError("test: lost")

    monkeypatch.setattr(AdbTransport, "connect", lost)
    profile = PROFILE.replace("local", "adb") + "abi: aarch64-linux\n"
    for name, address in (("phone", ""), ("other", ""), ("mine", "address: A\n")):
        (user_folder() / f"{name}.yaml").write_text(profile + address)
    one, other = names
    assert main(["bench", POSE, "--device", one, "--device", other, "-o", str(bench)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {one} and {other} may be the same device\nhint: name each phone: ")
    assert not bench.exists()
    assert main(["bench", POSE, "--device", "mine", "--device", "phone=B", "-o", str(bench)]) == 8
    assert "2 of 2 devices gave no result: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--cpus", "7-4", "not a list"),
        ("--cpus", "0-1024", "no processor has a number above 1023"),
        ("--cpus", "0-99999999999999999999", "no processor has a number"),
        ("--persons", "1,300", "more than 256 persons"),
        ("--persons", "1-99999999999999999999", "more than 256 persons"),
        ("--frames", "0", "range"),
    ],
)
def test_numbers_that_mean_nothing(
    bench: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    assert run(bench, option, value) == 2
    assert message in capsys.readouterr().err


def test_a_run_goes_on_with_its_own_options_only(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--threads", "2", "--frames", "7", "--persons", "1,2")
    assert run(bench, *options) == 8
    assert run(bench, "--resume") == run(bench, "--resume", *options) == 8
    capsys.readouterr()
    for wrong in (("--threads", "2"), (*options, "--quick"), ("--soak", "60"), ("--cpus", "0")):
        assert run(bench, "--resume", *wrong) == 2
        assert f"the interrupted run had other options than {wrong[0]}" in capsys.readouterr().err
    assert list(bench.iterdir())  # what was measured is still there


def test_a_run_that_cannot_go_on_keeps_its_samples(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LocalTransport) -> dict[str, str]:
        raise DeviceError("test: refused")

    assert run(bench) == 8
    monkeypatch.setattr(LocalTransport, "facts", refuse)
    assert run(bench, "--resume") == 8
    assert list(bench.iterdir())


def test_a_journal_that_was_cut_in_a_character(
    bench: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(bench) == 8
    (partial,) = bench.iterdir()
    cut = '{"event": "error", "code": "io", "exit_code": 3, "message": "büro'.encode()[:-3]
    (partial / "session-1.jsonl").write_bytes(cut)
    monkeypatch.setattr(LocalTransport, "facts", lambda self: {})
    capsys.readouterr()
    assert run(bench, "--resume") == 8  # the runner of this test is no program
    assert "going on after 0 samples" in capsys.readouterr().err


def test_what_a_run_has_kept_is_damaged(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench) == 8
    (partial,) = bench.iterdir()
    kept = partial / "session-1.jsonl"
    kept.write_text('{"event": "samples"\0}\n')
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalTransport, "facts", lambda self: {})
        assert run(bench, "--resume") == 2
    assert f"error: {kept}: what the interrupted run has kept is damaged" in capsys.readouterr().err
    (partial / "request.json").write_text("[]")
    assert run(bench, "--resume") == 2
    assert "start anew" in capsys.readouterr().err
    assert kept.is_file()


def test_a_working_folder_whose_name_is_not_utf_8(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(POSE, folder / "pose")
    monkeypatch.chdir(folder)
    assert main(["bench", "pose", "--device", "test", "-o", str(bench)]) == 8
