"""The facts of the zoo: consistent, and those of the upstream tables; the commands that show them."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edgepose import zoo
from edgepose.cli.main import main
from edgepose.errors import UsageError
from edgepose.hashing import sha256_file
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.zoo import catalog
from edgepose.zoo.catalog import lookup

MODELS = zoo.models()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path))


def test_every_name_means_one_model() -> None:
    spellings = [name for model in MODELS for name in (model.name, *model.aliases, model.file)]
    assert len(spellings) == len(set(spellings))
    for model in MODELS:
        for name in (model.name, *model.aliases, model.file, model.file.removesuffix(".pth")):
            assert zoo.find(name) is model
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", model.name)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_facts_are_plausible(model: zoo.ZooModel) -> None:
    address = urlsplit(model.url)
    assert (address.scheme, address.netloc) == ("https", "download.openmmlab.com")
    assert address.path.endswith("/" + model.file) and not address.query
    assert all(side % 32 == 0 and 64 <= side <= 1280 for side in model.input_hw)
    sizes = re.findall(r"(?<=[-_])(\d{3})x(\d{3})(?=[-_.])", model.file)
    assert all((int(h), int(w)) == model.input_hw for h, w in sizes)
    assert model.ap is None or 20 < model.ap < 90
    assert (model.ap is None) == (model.metric is None)
    assert model.params_m is None or 0.5 < model.params_m < 100
    assert model.gflops is None or 0.2 < model.gflops < 100
    assert model.task in {"detect", "pose", "one_stage", "backbone"}
    assert model.license and model.data
    if model.task in {"pose", "one_stage"}:
        assert model.keypoints is not None
        assert model.keypoint_count == len(KEYPOINT_SETS[model.keypoints].keypoints)
    if model.convertible:
        assert model.config and model.config.endswith(".py")


def test_checksums_come_from_the_file_names() -> None:
    without = {model.name for model in MODELS if model.sha256_prefix is None}
    # Their file names hold a date, whose eight digits are no hash, or nothing.
    assert without == {"rtmw-m", "rtmw-l", "rtmw-l-384x288", "rtmpose-s-aic-coco-pruned"}
    for model in MODELS:
        if model.sha256_prefix:
            assert re.fullmatch(r"[0-9a-f]{7,8}", model.sha256_prefix)
            assert re.search(rf"-{model.sha256_prefix}(_20\d{{6}})?\.pth$", model.file)


def test_every_row_of_the_upstream_tables_is_there(shared_dir: Path) -> None:
    with (shared_dir / "facts" / "model_zoo.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        for url in row["ckpt_url"].split(" ; "):
            assert any(model.url == url for model in MODELS), url
        if " ; " in row["ckpt_url"]:
            continue
        model = zoo.find(row["ckpt_file"])
        if row["AP"]:
            ap = float(row["AP"])
            assert model.ap == pytest.approx(ap if ap > 1 else 100 * ap)
        if row["params_M"]:
            assert model.params_m == pytest.approx(float(row["params_M"]), abs=0.006)
        if model.name != "rtmo-t":  # its README has the wrong size
            assert "x".join(map(str, model.input_hw)) == row["input_size"]


@pytest.mark.parametrize(
    ("wrong", "close"),
    [
        ("rtmpose-s-256", "rtmpose-s"),
        ("rtmdet-nano-persons", "rtmdet-nano-person"),
        ("dwpos-l", "dwpose-l"),
        # mmpose's configurations; of the sizes the right one comes first.
        ("rtmpose-t_8xb256-420e_coco-256x192", "mean rtmpose-t-aic-coco-256x192"),
        ("rtmpose-s_8xb1024-700e_body8-halpe26-256x192", "mean rtmpose-s-halpe26-256x192"),
    ],
)
def test_unknown_names_get_close_ones(wrong: str, close: str) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.find(wrong)
    assert close in str(caught.value.hint)


def test_every_size_has_a_name_with_its_input() -> None:
    for model in MODELS:
        if model.task == "pose" and model.input_hw == (256, 192) and model.convertible:
            assert zoo.find(f"{model.name}-256x192") is model


def test_the_licence_of_official_files_is_known() -> None:
    """By their SHA-256 whatever they are called, by the name only where upstream gives no SHA-256."""
    rtmpose, rtmw = zoo.find("rtmpose-s"), zoo.find("rtmw-m")
    digest = f"{rtmpose.sha256_prefix}{'0' * 56}"
    assert str(zoo.known_license(Path("mine.pth"), digest)).startswith("Apache-2.0 (of the upstream")
    assert zoo.known_license(Path("in") / rtmw.file, "f" * 64) == zoo.known_license(Path("a.pth"), digest)
    assert zoo.known_license(Path(rtmpose.file), "f" * 64) is None  # another content
    assert zoo.known_license(Path("rtmw-m"), "f" * 64) is None


def test_hopeless_names_get_the_list() -> None:
    assert lookup("") is None
    with pytest.raises(UsageError) as caught:
        zoo.find("???")
    assert "zoo list" in str(caught.value.hint)


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    assert main(["zoo", "list", "--json", *options]) == 0
    return [model["name"] for model in json.loads(capsys.readouterr().out)]


def test_list_filters(capsys: pytest.CaptureFixture[str]) -> None:
    everything = listed(capsys, "--all")
    assert everything == [model.name for model in MODELS]
    assert set(listed(capsys)) == {model.name for model in MODELS if model.convertible}
    assert listed(capsys, "--family", "RTMW3D") == ["rtmw3d-l", "rtmw3d-x"]
    assert listed(capsys, "--keypoints", "26") == listed(capsys, "--keypoints", "halpe26")
    assert "rtmpose-m-animal" in listed(capsys, "--keypoints", "17", "--family", "rtmpose")
    assert "rtmpose-m-animal" not in listed(capsys, "--keypoints", "coco17")
    assert all("rtmdet" in name for name in listed(capsys, "--task", "detect"))
    assert set(listed(capsys, "--task", "one-stage")) == set(listed(capsys, "--family", "rtmo"))


def test_list_is_an_aligned_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "list", "--family", "rtmw"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == [m.name for m in MODELS if m.family == "rtmw"]
    column = header.index("input")
    assert all(re.match(r"\d{3}x\d{3}\b", row[column:]) for row in rows)
    assert main(["zoo", "list", "--family", "yolox"]) == 0
    assert "--all" in capsys.readouterr().out


def test_wrong_filters_name_the_right_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "list", "--family", "resnet"]) == 2
    assert "rtmpose" in capsys.readouterr().err


def test_info_shows_all_facts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = zoo.find("dwpose-l-384x288")
    assert main(["zoo", "info", model.name]) == 0
    text = capsys.readouterr().out
    for fact in (model.url, "Apache-2.0", "66.5", "384 x 288", "wholebody133", model.sha256_prefix or "?"):
        assert fact in text
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / model.file).write_bytes(b"12345")
    assert main(["zoo", "info", model.name, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["cached"] == str(tmp_path / "zoo" / model.file) and facts["bytes"] == 5


def test_official_names_and_files_tell_the_keypoints() -> None:
    animal = zoo.find("rtmpose-m-animal")
    for spelling in (animal.name, f"downloads/{animal.file}"):
        assert zoo.known_keypoints(["mine.pth", spelling]) == animal.keypoints
    assert zoo.known_keypoints(["mine.pth", "rtmdet-nano-person"]) is None


def test_the_keypoints_of_a_renamed_official_file_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    animal = zoo.find("rtmpose-m-animal")
    renamed, other = tmp_path / "mine.pth", tmp_path / "other.pth"
    renamed.write_bytes(b"weights")
    other.write_bytes(b"others")
    known = dataclasses.replace(animal, sha256_prefix=sha256_file(renamed)[:8])
    monkeypatch.setattr(catalog, "models", lambda: (known,))
    files = [tmp_path, other, renamed]
    assert zoo.known_keypoints(map(str, files), files) == "ap10k17"
    assert zoo.known_keypoints(["other.pth"], [other]) is None
