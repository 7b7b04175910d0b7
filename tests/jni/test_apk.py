"""The demo app, built from nothing with Debian's tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgepose import android

ROOT = Path(__file__).resolve().parents[2]
APK = ROOT / "build/android/edgepose.apk"
TOOLS = ("aapt2", "apksigner", "javac", "zip", "zipalign")
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")


def _build(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "scripts/build-apk.sh"), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
    )


def test_the_app_is_built_signed_and_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or not FRAMEWORK.exists():
        pytest.skip(f"tools for the app are missing: {missing or FRAMEWORK}")
    monkeypatch.setattr(android, "BACKENDS", ("fake",))
    android.write_assets(android.check([ROOT / "tests/bundles/v1/pose"]), tmp_path / "assets")
    result = _build(EDGEPOSE_ASSETS=str(tmp_path / "assets"))
    assert result.returncode == 0, result.stderr
    assert "no native library" in result.stderr
    verified = subprocess.run(
        ["apksigner", "verify", "--print-certs", str(APK)], capture_output=True, text=True, timeout=120
    )
    assert verified.returncode == 0 and "CN=EdgePoseDebug" in verified.stdout, verified.stderr
    with zipfile.ZipFile(APK) as archive:
        names = archive.namelist()
        classes = archive.read("classes.dex")
    assert "AndroidManifest.xml" in names
    for name in ("index.txt", "pose/bundle.json", "pose/tiny-pose.fake"):
        assert f"assets/bundles/{name}" in names
    for name in ("PoseSession", "Benchmark", "demo/android/MainActivity", "demo/android/BenchmarkActivity"):
        assert f"Ldev/edgepose/{name};".encode() in classes
    assert b"LambdaMetafactory" not in classes


def test_ncnn_for_android_is_built_from_source_with_exceptions(tmp_path: Path) -> None:
    """For Android ncnn forbids exceptions by itself, to all that link it, and our code would not compile."""
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("g++-aarch64-linux-gnu is not installed (packages.txt)")
    cross = ROOT / "runtime_cpp/cmake/toolchains/aarch64-linux.cmake"
    toolchain = tmp_path / "android.toolchain.cmake"
    toolchain.write_text(f'include("{cross}")\nset(ANDROID TRUE)\n')
    package = tmp_path / "host/lib/cmake/ncnn"
    package.mkdir(parents=True)
    (package / "ncnnConfig.cmake").write_text("add_library(ncnn STATIC IMPORTED)\n")
    versions = "set(PACKAGE_VERSION 20261020)\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n"
    (package / "ncnnConfigVersion.cmake").write_text(versions)
    beside = Path(sys.executable).with_name("cmake")
    cmake = str(beside) if beside.exists() else "cmake"
    configure = [cmake, "--preset", "jni", "-B", str(tmp_path / "build")]
    configure += [f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", f"-DPython_EXECUTABLE={sys.executable}"]
    configure += ["-DEDGEPOSE_BUILD_RUNNER=OFF"]
    host = {**os.environ, "CMAKE_PREFIX_PATH": str(tmp_path / "host")}
    host.pop("EDGEPOSE_CACHE", None)  # ncnn's sources are those of all builds
    done = subprocess.run(configure, cwd=ROOT, capture_output=True, text=True, timeout=600, env=host)
    assert done.returncode == 0, done.stderr
    assert str(package) not in (tmp_path / "build/CMakeCache.txt").read_text()  # is for this machine
    rules = (tmp_path / "build/build.ninja").read_text()
    assert "bindings/jni/native.cpp" in rules and "max-page-size=16384" in rules
    assert "-fno-exceptions" not in rules and "-fno-rtti" not in rules


def test_a_release_without_the_native_library_is_refused() -> None:
    refused = _build("--release", ANDROID_NDK_HOME="")
    assert refused.returncode == 1
    assert "ANDROID_NDK_HOME" in refused.stderr
    assert _build("--debug").returncode == 1
