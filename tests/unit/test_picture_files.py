"""Which files are pictures, by name and by content: read, refused, left out with a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from videos import jpeg_with_orientation, scene

from edgepose import media, writers
from edgepose.errors import UsageError
from edgepose.media import list_pictures, load_cv2, open_source

cv2 = load_cv2()


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_pictures_that_look_like_videos_are_refused(brand: bytes, tmp_path: Path) -> None:
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(900))
    with pytest.raises(UsageError, match=r"IMG_0001\.HEIC: HEIC and AVIF pictures are not read") as refused:
        open_source(str(path))
    assert refused.value.hint == "convert it to JPEG or PNG"


def test_pictures_that_are_not_read_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cv2.imwrite(str(tmp_path / "1.png"), scene())
    for name in ("IMG_2.HEIC", "3.avif"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic")
    for _ in range(2):
        assert len(list(open_source(str(tmp_path)))) == 1
    assert capsys.readouterr().err == (
        f"warning: {tmp_path}: left out 3.avif (convert it to JPEG or PNG) and 1 more: "
        "HEIC and AVIF pictures are not read\n"
    )


def test_videos_of_a_folder_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writers.write_picture(tmp_path / "1.jpg", scene())
    for name in ("a.MP4", "b.mov", "c.gif", "notes.txt", "._b.mov"):
        (tmp_path / name).write_bytes(bytes(900))
    (tmp_path / "d.mp4").mkdir()
    assert [frame.name for frame in open_source(str(tmp_path))] == ["1.jpg"]
    told = f"warning: {tmp_path}: left out a.MP4 and 2 more: videos are"
    assert capsys.readouterr().err == f"{told} given one by one\n"
    assert len(list_pictures(tmp_path)) == 1
    assert capsys.readouterr().err == f"{told} not read here\n"


def test_the_notes_of_a_mac_are_no_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writers.write_picture(tmp_path / "1.jpg", scene())
    for name in ("._1.jpg", "._2.HEIC"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(900))
    source = open_source(str(tmp_path))
    assert [frame.name for frame in source] == ["1.jpg"] and source.unreadable == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".jfif", ".JPE"])
def test_every_name_of_a_jpeg_is_a_turned_picture(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    jpeg_with_orientation(path, scene(), 6)
    for target in (path, tmp_path):
        source = open_source(str(target))
        assert source.kind == "pictures" and media.is_pictures(str(target))
        assert [frame.image.shape for frame in source] == [(64, 48, 3)]


def test_raw_pictures_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "IMG_1.DNG"
    path.write_bytes(b"II*\0" + bytes(900))
    with pytest.raises(UsageError, match=r"IMG_1\.DNG: raw pictures of cameras are not read") as refused:
        open_source(str(path))
    assert refused.value.hint == "convert it to JPEG or PNG"
    writers.write_picture(tmp_path / "1.jpg", scene())
    assert len(list_pictures(tmp_path)) == 1
    assert "left out IMG_1.DNG (convert it" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("name", ["photo", "photo.mp4", "photo.2024", "IMG_1.HEIC"])
def test_a_picture_without_a_pictures_name_is_no_video(
    name: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writers.write_picture(tmp_path / f"other{suffix}", scene())
    path = tmp_path / name
    path.write_bytes((tmp_path / f"other{suffix}").read_bytes())
    with pytest.raises(UsageError, match="a picture, but its name does not end like one") as refused:
        open_source(str(path))
    assert (refused.value.hint or "").split(",")[0] == f"rename it to {name}{suffix}"
    assert len(list_pictures(tmp_path)) == 1
    assert f"left out {name} (rename it to {name}{suffix}" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_an_animation_is_one_picture_and_says_so(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"a{suffix}"
    animation = cv2.Animation()
    animation.frames, animation.durations = [scene(), scene(seed=1)], np.array([100, 100], np.int32)
    assert cv2.imwriteanimation(str(path), animation)
    for _ in range(2):
        assert len(list(open_source(str(path)))) == 1
    err = capsys.readouterr().err
    assert err == f"warning: {path}: an animation, of which the first picture is read\n"
