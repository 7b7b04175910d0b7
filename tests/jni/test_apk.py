"""The demo app, built from nothing with Debian's tools."""

from __future__ import annotations

import os
import shutil
import subprocess
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


def test_a_release_without_the_native_library_is_refused() -> None:
    refused = _build("--release", ANDROID_NDK_HOME="")
    assert refused.returncode == 1
    assert "ANDROID_NDK_HOME" in refused.stderr
    assert _build("--debug").returncode == 1
