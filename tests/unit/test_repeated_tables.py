"""What one language repeats of another must be the same."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

from edgepose.bench.plan import WARMUP_WINDOW
from edgepose.errors import CORE_CODES
from edgepose.skeletons import MAX_POINTS, MAX_SIGMA

JAVA = Path(__file__).resolve().parents[2] / "android_demo/edgepose/src/main/java/dev/edgepose"
RUNTIME = Path(__file__).resolve().parents[2] / "runtime_cpp"


def _enum(file: str, name: str) -> list[str]:
    text = (JAVA / file).read_text()
    body = re.search(rf"enum {name} {{([^}};]*)", text)
    assert body is not None
    return re.findall(r"[A-Z0-9_]+", body[1])


def test_the_codes_are_those_of_the_core() -> None:
    names = [CORE_CODES[number][0].upper() for number in range(len(CORE_CODES))]
    assert _enum("EdgePoseException.java", "Code") == names


def test_the_stages_are_those_of_the_core() -> None:
    body = (RUNTIME / "include/edgepose/types.h").read_text().split("struct StageTimings")[1]
    stages = re.findall(r"int64_t (\w+)_ns = 0;", body.split("};")[0])
    assert _enum("PoseFrame.java", "Stage") == [name.upper() for name in stages]


def test_colours_and_formats_are_those_of_the_core() -> None:
    image = (RUNTIME / "include/edgepose/image.h").read_text()
    colours = re.findall(r"kBt(\w+) = (\d)", image)
    written = [name.replace("_", "").lower() for name in _enum("CameraFrame.java", "Colour")]
    assert written == ["bt" + name.lower() for name, _ in sorted(colours, key=lambda c: c[1])]
    formats = dict(re.findall(r"k(Bgr|Rgb|Rgba|Nv12|Nv21|Yuv420) = (\d)", image))
    java = re.findall(r"static final int (\w+) = (\d);", (JAVA / "CameraFrame.java").read_text())
    assert {name.capitalize(): number for name, number in java} == formats


def test_the_version_is_that_of_the_package() -> None:
    assert f'VERSION = "{version("edgepose")}"' in (JAVA / "Native.java").read_text()


def test_gradle_and_the_script_build_the_same_app() -> None:
    demo = JAVA.parents[5]
    catalogue = (demo / "gradle/libs.versions.toml").read_text()
    script = (demo.parent / "scripts/build-apk.sh").read_text()
    for name, variable in {"minSdk": "min_sdk", "targetSdk": "target_sdk"}.items():
        number = re.search(rf'^{name} = "(\d+)"$', catalogue, re.M)
        assert number is not None and f"\n{variable}={number[1]}\n" in script
    application = (demo / "app/build.gradle.kts").read_text()
    manifest = (demo / "app/src/main/AndroidManifest.xml").read_text()
    assert f'versionName = "{version("edgepose")}"' in application
    assert f'android:versionName="{version("edgepose")}"' in manifest
    assert 'namespace = "dev.edgepose.demo.android"' in application
    assert 'package="dev.edgepose.demo.android"' in script
    library = (demo / "edgepose/build.gradle.kts").read_text()
    presets = json.loads((demo.parent / "CMakePresets.json").read_text())["configurePresets"]
    (jni,) = (preset for preset in presets if preset["name"] == "jni")
    for name, value in jni["cacheVariables"].items():
        assert f'"-D{name}={value}"' in library


def test_what_gradle_uses_is_in_the_catalogue() -> None:
    demo = JAVA.parents[5]
    catalogue = (demo / "gradle/libs.versions.toml").read_text()
    sections = {
        name: set(re.findall(r"^([\w-]+) = ", body, re.M))
        for name, body in re.findall(r"^\[(\w+)\]\n((?:(?!\[).*\n)*)", catalogue, re.M)
    }
    used = re.findall(
        r"\blibs\.([\w.]+)", "".join(p.read_text() for p in sorted(demo.glob("**/*.gradle.kts")))
    )
    assert used
    for path in used:
        kind, _, rest = path.partition(".")
        if kind in ("versions", "plugins"):
            alias = rest.removesuffix(".get").removesuffix(".get().toInt").replace(".", "-")
            assert alias in sections[kind], path
        else:
            assert path.replace(".", "-") in sections["libraries"], path
    for reference in re.findall(r'version\.ref = "(\w+)"', catalogue):
        assert reference in sections["versions"]


def test_the_limits_of_points_are_those_of_the_core() -> None:
    text = (RUNTIME / "src/manifest_parts.cpp").read_text()
    (points,) = re.findall(r"kMaxKeypoints = (\d+);", text)
    (largest,) = re.findall(r"sigmas\.push_back\(reader->number\(item, {0, ([\d.]+), true}\)\)", text)
    assert (int(points), float(largest)) == (MAX_POINTS, MAX_SIGMA)


def test_a_steady_warm_up_has_as_many_frames_on_android() -> None:
    text = (RUNTIME / "tools/bench_validity.cpp").read_text()
    (frames,) = re.findall(r"kSteadyFrames = (\d+);", text)
    # The running median of each of three windows has to agree with the others.
    assert int(frames) == 3 * WARMUP_WINDOW
