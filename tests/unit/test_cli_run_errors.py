"""`edgepose run` with a stand-in for the runtime: everything that can go wrong."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from run_inputs import picture, results, video

from edgepose import media, writers
from edgepose.cli.main import main
from edgepose.coco_json import CocoResults

MakeBundle = Callable[..., Path]


class TestBadInput:
    """One error line, one hint, the exit code, and nothing left behind."""

    @pytest.fixture(autouse=True)
    def setting(self, fake_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.bundle, self.tmp_path, self.capsys = fake_bundle(), tmp_path, capsys
        self.out = tmp_path / "out" / "deeper"

    def fails(
        self, source: Path | str, *options: str, code: int = 2, text: str, left: tuple[str, ...] = ()
    ) -> None:
        assert main(["run", str(self.bundle), str(source), "-o", str(self.out), *options]) == code
        out, err = self.capsys.readouterr()
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        assert text in lines[0] and lines[0].startswith("error: ") and len(lines) <= 2, err
        if left:
            assert sorted(p.name for p in self.out.iterdir()) == list(left)
        else:
            assert out == "" and not self.out.parent.exists()

    def test_missing_input(self) -> None:
        self.fails(self.tmp_path / "none.jpg", text="none.jpg: no such file or folder")

    def test_settings_of_tracking_that_contradict_each_other(self) -> None:
        source = video(self.tmp_path / "v.mp4")
        self.fails(source, "--detect-delay", "3", text="--detect-delay 3 is more than --detect-every 1")
        for more in (["--smooth"], ["--detect-every", "5"], ["--detect-every", "5", "--detect-delay", "1"]):
            self.fails(source, "--no-track", *more, text="--no-track leaves nobody to follow")

    def test_boxes_leave_nobody_to_follow(self) -> None:
        source, boxes = video(self.tmp_path / "v.mp4"), self.tmp_path / "boxes.json"
        boxes.write_text("[[1, 2, 30, 40]]")
        for more in (["--detect-every", "5"], ["--detect-every", "2", "--detect-delay", "1"]):
            self.fails(source, "--boxes", str(boxes), *more, text="--boxes says where persons are")

    def test_empty_folder(self) -> None:
        (self.tmp_path / "in").mkdir()
        self.fails(self.tmp_path / "in", text="no pictures in this folder")

    def test_unreadable_picture(self) -> None:
        (self.tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
        self.fails(self.tmp_path / "a.jpg", text="a.jpg: ")

    def test_truncated_picture(self) -> None:
        path = picture(self.tmp_path / "a.jpg")
        path.write_bytes(path.read_bytes()[:-200])
        self.fails(path, text="a.jpg: the picture is cut short")

    def test_not_a_video(self) -> None:
        (self.tmp_path / "a.mp4").write_bytes(b"text")
        self.fails(self.tmp_path / "a.mp4", text="a.mp4: cannot be read as a video")

    def test_truncated_video(self) -> None:
        path = video(self.tmp_path / "a.mp4")
        path.write_bytes(path.read_bytes()[:-300])
        self.fails(path, text="a.mp4: cannot be read as a video")

    def test_missing_camera(self) -> None:
        self.fails("93", code=3, text="camera 93 cannot be opened")
        self.fails("99999999999", text="no camera has this number")

    def test_a_threshold_that_is_no_number(self) -> None:
        command = ["run", str(self.bundle), str(picture(self.tmp_path / "a.jpg")), "-o", str(self.out)]
        assert main([*command, "--keypoint-threshold", "nan"]) == 2
        assert "nan is not in the range" in self.capsys.readouterr().err

    def test_a_threshold_above_every_score_is_taken(self) -> None:
        """As high as a bundle may have it: scores of SimCC networks are no probabilities."""
        command = ["run", str(self.bundle), str(picture(self.tmp_path / "a.jpg")), "-o", str(self.out)]
        assert main([*command, "--keypoint-threshold", "100"]) == 0
        assert main([*command, "--keypoint-threshold", "100.5"]) == 2

    def test_originals_behind_links_are_not_replaced(self) -> None:
        original = picture(self.tmp_path / "original.jpg")
        before = original.read_bytes()
        self.out.mkdir(parents=True)
        (self.out / "a.jpg").symlink_to(original)
        self.fails(self.out / "a.jpg", text="would overwrite the input", left=("a.jpg",))
        assert original.read_bytes() == before

    def test_a_link_to_nothing_is_named(self) -> None:
        source = self.tmp_path / "in"
        picture(source / "a.jpg")
        (source / "b.jpg").symlink_to(self.tmp_path / "none.jpg")
        assert main(["run", str(self.bundle), str(source), "-o", str(self.out)]) == 2
        assert "b.jpg" in self.capsys.readouterr().err

    def test_a_folder_in_the_place_of_the_results(self) -> None:
        (self.out / "results.json").mkdir(parents=True)
        self.fails(picture(self.tmp_path / "a.jpg"), text="results.json: is a folder", left=("results.json",))

    def test_missing_bundle(self) -> None:
        self.bundle = self.tmp_path / "nothing"
        self.fails(picture(self.tmp_path / "a.jpg"), text="no such bundle")

    def test_wrong_boxes(self) -> None:
        boxes = self.tmp_path / "boxes.json"
        boxes.write_text("[[1, 2, 3]]")
        self.fails(picture(self.tmp_path / "a.jpg"), "--boxes", str(boxes), text="has a wrong box")

    def test_boxes_of_other_pictures(self) -> None:
        boxes = self.tmp_path / "boxes.json"
        boxes.write_text('{"b.jpg": [[1, 2, 3, 4]]}')
        source = video(self.tmp_path / "v.mp4")
        self.fails(source, "--boxes", str(boxes), text="names no frame of this input")

    def test_output_that_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = picture(self.tmp_path / "a.jpg")

        def refuse(path: Path, *args: Any, **options: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(Path, "mkdir", refuse)
        self.fails(source, code=3, text="Permission denied")

    def test_an_output_that_is_no_folder(self) -> None:
        source = picture(self.tmp_path / "a.png")
        (self.tmp_path / "file").write_text("mine")
        for out in (self.tmp_path / "file", self.tmp_path / "file" / "deeper"):
            assert main(["run", str(self.bundle), str(source), "-o", str(out)]) == 2
            assert self.capsys.readouterr().err.startswith(f"error: {self.tmp_path / 'file'}: is no folder\n")
        assert (self.tmp_path / "file").read_text() == "mine"

    def test_results_in_the_bundle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """They would make it one with other files than it lists."""
        before = sorted(self.bundle.iterdir())
        source = picture(self.tmp_path / "a.png")
        other = self.tmp_path / "other"
        other.mkdir()
        shutil.copyfile(self.bundle / "bundle.json", other / "bundle.json")
        (self.tmp_path / "link").symlink_to(self.bundle)
        for out in (self.bundle, self.bundle / "out", self.tmp_path / "link", other, other / "out"):
            assert main(["run", str(self.bundle), str(source), "-o", str(out)]) == 2
            bundle = other if other in (out, out.parent) else self.bundle
            assert (
                f"error: {out}: the results would lie in the bundle {bundle}\n"
                in self.capsys.readouterr().err
            )
        monkeypatch.chdir(self.bundle)
        assert main(["run", ".", str(source)]) == 2
        assert "error: edgepose-run/a: the results would lie in the bundle /" in self.capsys.readouterr().err
        assert sorted(self.bundle.iterdir()) == before
        assert [path.name for path in other.iterdir()] == ["bundle.json"]

    def test_an_output_folder_without_write_permission(self) -> None:
        if os.geteuid() == 0:
            pytest.skip("optional: root may write everywhere")
        locked = self.tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert main(["run", str(self.bundle), str(picture(self.tmp_path / "a.jpg")), "-o", str(locked)]) == 3
        assert f"error: {locked}: this folder is not writable" in self.capsys.readouterr().err

    def test_one_bad_picture_of_a_folder(self) -> None:
        picture(self.tmp_path / "in" / "1.jpg")
        (self.tmp_path / "in" / "2.jpg").write_bytes(b"")
        picture(self.tmp_path / "in" / "3.jpg")
        text = "1 of 3 pictures could not be read: 2.jpg"
        self.fails(self.tmp_path / "in", text=text, left=("1.jpg", "3.jpg", "results.json"))
        assert results(self.out)["summary"]["unreadable"] == ["2.jpg"]

    def test_a_loop_of_links_in_a_folder(self) -> None:
        picture(self.tmp_path / "in" / "1.jpg")
        (self.tmp_path / "in" / "2.jpg").symlink_to("2.jpg")
        text = "1 of 2 pictures could not be read: 2.jpg"
        self.fails(self.tmp_path / "in", text=text, left=("1.jpg", "results.json"))

    def test_only_bad_pictures(self) -> None:
        (self.tmp_path / "in").mkdir()
        for name in ("1.jpg", "2.jpg"):
            (self.tmp_path / "in" / name).write_bytes(b"x")
        self.fails(self.tmp_path / "in", text="not one frame could be read")

    @pytest.mark.parametrize("name", ["in", "v"])
    def test_the_input_is_never_overwritten(self, name: str) -> None:
        folder = self.tmp_path / "in"
        source = folder if name == "in" else folder / "v.mp4"
        picture(folder / "a.jpg")
        video(folder / "v.mp4")
        before = {path: path.read_bytes() for path in folder.iterdir()}
        assert main(["run", str(self.bundle), str(source), "-o", str(folder)]) == 2
        assert "would overwrite the input" in self.capsys.readouterr().err
        assert {path: path.read_bytes() for path in folder.iterdir()} == before

    def test_the_results_of_another_input_stay(self) -> None:
        for folder in ("one", "two"):
            (self.tmp_path / folder).mkdir()
            video(self.tmp_path / folder / "v.mp4")
        one, two = (str(self.tmp_path / folder / "v.mp4") for folder in ("one", "two"))
        out = self.tmp_path / "out"
        for _ in range(2):  # the same input may be run again
            assert main(["run", str(self.bundle), one, "-o", str(out)]) == 0
        before = {path: path.read_bytes() for path in out.iterdir()}
        self.capsys.readouterr()
        assert main(["run", str(self.bundle), two, "-o", str(out)]) == 2
        err = self.capsys.readouterr().err
        hint = "hint: choose another folder with -o, one for each input, or remove its results.json\n"
        assert err.endswith(f"error: {out}: holds the results of another input, {one}\n{hint}")
        assert {path: path.read_bytes() for path in out.iterdir()} == before
        (self.tmp_path / "one").rename(self.tmp_path / "moved")
        assert main(["run", str(self.bundle), str(self.tmp_path / "moved" / "v.mp4"), "-o", str(out)]) == 0
        results = json.loads((out / "results.json").read_text())
        del results["info"]["input_path"], results["info"]["video"]  # as earlier versions wrote them
        (out / "results.json").write_text(json.dumps(results))
        assert main(["run", str(self.bundle), two, "-o", str(out)]) == 0

    @pytest.mark.parametrize("drawing", [[], ["--no-draw"]])
    @pytest.mark.parametrize("text", ["", "[]", '[{"image_id": 1}]', '{"info": {"year": 2017}}', "text"])
    def test_the_results_of_another_program_stay(self, text: str, drawing: list[str]) -> None:
        self.out.mkdir(parents=True)
        other = self.out / "results.json"
        other.write_text(text)
        source = picture(self.tmp_path / "a.jpg")
        said = f"{other}: is there already, and is not of edgepose run"
        self.fails(source, *drawing, text=said, left=("results.json",))
        assert other.read_text() == text

    def test_a_folder_into_which_another_run_writes(self) -> None:
        source = picture(self.tmp_path / "a.jpg")
        self.out.mkdir(parents=True)
        (self.out / "notes").touch()
        descriptor = os.open(self.out, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.fails(source, text=f"{self.out}: another process holds it", left=("notes",))
        finally:
            os.close(descriptor)
        assert main(["run", str(self.bundle), str(source), "-o", str(self.out)]) == 0

    def test_results_that_somebody_indented_are_ours(self) -> None:
        source = picture(self.tmp_path / "a.jpg")
        command = ["run", str(self.bundle), str(source), "-o", str(self.out)]
        assert main(command) == 0
        (self.out / "results.json").write_text(json.dumps(results(self.out), indent=4))
        assert main(command) == 0
        (self.out / "results.json").write_text(json.dumps(results(self.out), indent="\t"))
        self.capsys.readouterr()
        other = picture(self.tmp_path / "b.jpg")
        left = ("a.jpg", "results.json")
        self.fails(other, text="holds the results of another input", left=left)

    @pytest.mark.parametrize("drawing", [[], ["--no-draw"]])
    def test_an_input_where_the_results_would_lie(self, drawing: list[str]) -> None:
        self.out.mkdir(parents=True)
        input_is_here = self.out / "results.json"
        input_is_here.write_bytes(video(self.tmp_path / "v.mp4").read_bytes())
        before = input_is_here.read_bytes()
        (self.tmp_path / "in").mkdir()
        for name in ("clip.mp4", "in/a.png"):
            (self.tmp_path / name).symlink_to(input_is_here)
        for source in (input_is_here, *(self.tmp_path / name for name in ("clip.mp4", "in", "in/a.png"))):
            text = "results.json: the results would overwrite the input"
            self.fails(source, *drawing, text=text, left=("results.json",))
        assert input_is_here.read_bytes() == before

    def test_a_video_of_somebody_else_is_not_replaced(self) -> None:
        (self.tmp_path / "cam").mkdir()
        source = video(self.tmp_path / "cam" / "v.mp4")
        self.out.mkdir(parents=True)
        other = video(self.out / "v.mp4", 3)
        before = other.read_bytes()
        self.fails(source, text=f"{other}: is there already, and no results.json", left=("v.mp4",))
        assert main(["run", str(self.bundle), str(source), "-o", str(self.out), "--no-draw"]) == 0
        self.capsys.readouterr()
        text = f"{other}: is there already, and no results.json beside it says that it is of this input"
        self.fails(source, text=text, left=("results.json", "v.mp4"))
        assert other.read_bytes() == before

    def test_a_video_is_replaced_whatever_ran_on_its_input_since(self) -> None:
        command = ["run", str(self.bundle), str(video(self.tmp_path / "v.mp4")), "-o", str(self.out)]
        for drawing in ([], ["--no-draw"], []):
            assert main([*command, *drawing]) == 0
            assert results(self.out)["info"]["video"] == "v.mp4"
        (self.out / "v.mp4").unlink()
        assert main([*command, "--no-draw"]) == 0
        assert results(self.out)["info"]["video"] is None

    @pytest.mark.parametrize("what", [(CocoResults, "finish"), (writers.VideoWriter, "check_complete")])
    def test_a_run_that_fails_at_its_end_can_be_repeated(
        self, what: tuple[type, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = video(self.tmp_path / "v.mp4")

        def full(written: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(*what, full)
            self.fails(source, code=3, text="No space left on device")
        assert main(["run", str(self.bundle), str(source), "-o", str(self.out)]) == 0

    def test_another_video_beside_the_input_is_not_overwritten(self) -> None:
        folder = self.tmp_path / "in"
        folder.mkdir()
        video(folder / "v.mp4")
        other = folder / "v.mkv"
        other.write_bytes((folder / "v.mp4").read_bytes())
        before = {path: path.read_bytes() for path in folder.iterdir()}
        assert main(["run", str(self.bundle), str(other), "-o", str(folder)]) == 2
        assert f"{folder / 'v.mp4'}: is there already, and no results.json" in self.capsys.readouterr().err
        assert {path: path.read_bytes() for path in folder.iterdir()} == before
        (folder / "v.mp4").rename(self.tmp_path / "v.mp4")
        for _ in range(2):  # a second time over its own results
            assert main(["run", str(self.bundle), str(other), "-o", str(folder)]) == 0
        assert (folder / "v.mp4").read_bytes() != before[folder / "v.mp4"]

    def test_the_disk_is_full_for_pictures(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = picture(self.tmp_path / "a.jpg")

        def full(path: Path, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        self.fails(source, code=3, text=f"{self.out / 'a.jpg'}: No space left on device")

    def test_the_disk_is_full_for_a_video(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = video(self.tmp_path / "v.mp4")
        usage = shutil.disk_usage(self.tmp_path)
        monkeypatch.setattr(writers.shutil, "disk_usage", lambda path: usage._replace(free=0))
        self.fails(source, code=3, text=f"{self.out / 'v.mp4'}: No space left on device")

    def test_the_pipeline_fails_in_the_middle(
        self, fake_core: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        process = fake_core.Pipeline.process

        def fail(pipeline: Any, *args: Any) -> Any:
            if len(pipeline.calls) == 5:
                raise fake_core.CoreError(5, "the engine broke", "mend it")
            return process(pipeline, *args)

        monkeypatch.setattr(fake_core.Pipeline, "process", fail)
        self.fails(video(self.tmp_path / "v.mp4"), code=9, text="the engine broke")

    @pytest.mark.parametrize("command", ["video", "pictures"])
    def test_ctrl_c_in_the_middle(
        self, command: str, fake_core: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        process = fake_core.Pipeline.process

        def interrupt(pipeline: Any, *args: Any) -> Any:
            if len(pipeline.calls) == 5:
                raise KeyboardInterrupt
            return process(pipeline, *args)

        monkeypatch.setattr(fake_core.Pipeline, "process", interrupt)
        if command == "video":
            self.fails(video(self.tmp_path / "v.mp4"), code=130, text="interrupted")
            return
        for index in range(8):
            picture(self.tmp_path / "in" / f"{index}.png")
        assert main(["run", str(self.bundle), str(self.tmp_path / "in"), "-o", str(self.out)]) == 130
        assert self.capsys.readouterr().err == "error: interrupted\n"
        left = sorted(self.out.iterdir()) if self.out.exists() else []
        assert {path.name for path in left} <= {f"{index}.png" for index in range(5)}
        for path in left:
            assert media.read_picture(path).shape == (48, 64, 3), "what is kept is complete"


def test_a_full_disk_in_earnest(
    fake_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount") is not None
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True
        ).returncode
    ):
        pytest.skip("optional: a small file system can be mounted by root only")
    try:
        bundle = fake_bundle()
        for name in ("1.png", "2.png", "3.png"):
            picture(tmp_path / "in" / name, width=120, height=90)
        assert main(["run", str(bundle), str(tmp_path / "in"), "-o", str(disk / "o")]) == 3
        err = capsys.readouterr().err
        assert err.startswith(f"error: {disk / 'o'}") and "No space left on device" in err
        assert all(media.read_picture(path).shape == (90, 120, 3) for path in (disk / "o").iterdir())
        source = video(tmp_path / "v.mp4")
        assert main(["run", str(bundle), str(source), "-o", str(disk / "v")]) == 3
        assert "No space left on device" in capsys.readouterr().err and not (disk / "v").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
