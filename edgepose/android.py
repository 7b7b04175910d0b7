"""Put bundles into the demo app: into its assets before it is built, or onto a phone that has it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepose.bundle.folder import read_manifest
from edgepose.device.adb import AdbTransport, adb_devices
from edgepose.errors import ConfigurationError, DeviceError, UsageError
from edgepose.hashing import sha256_file
from edgepose.interrupts import deferred

ASSETS = Path("android_demo/app/src/main/assets")
PACKAGE = "dev.edgepose.demo.android"
DEVICE_FOLDER = f"/sdcard/Android/data/{PACKAGE}/files/bundles"
INDEX = "index.txt"  # BundleInstaller.java reads it
BACKENDS = ("ncnn",)  # what the app's native library is built with


@dataclass(frozen=True, slots=True)
class AppBundle:
    """A bundle that the app can run."""

    folder: Path
    name: str
    digest: str
    files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(path.stat().st_size for path in self.files)


def check(folders: Sequence[Path]) -> list[AppBundle]:
    """Open and verify bundles for the app. Errors: UsageError (absent, same name, engine), BundleError."""
    found: list[AppBundle] = []
    for folder in folders:
        manifest = read_manifest(folder)
        backend = str(manifest["backend"])
        if backend not in BACKENDS:
            raise UsageError(
                f"{folder}: the app runs {' and '.join(BACKENDS)} bundles, this one is for {backend}",
                hint="convert the checkpoint with --to ncnn",
            )
        name = folder.resolve().name
        if any(bundle.name == name for bundle in found):
            raise UsageError(f"two bundles have the name {name}", hint="rename one of the folders")
        if name.startswith(".") or "\\" in name:
            raise UsageError(f"{folder}: the app cannot hold a bundle of this name", hint="rename the folder")
        files = tuple(sorted(path for path in folder.iterdir() if path.is_file()))
        found.append(AppBundle(folder, name, str(manifest["manifest_sha256"]), files))
    return found


def write_assets(bundles: Sequence[AppBundle], assets: Path) -> Path:
    """Replace the app's bundles by these, all or none. Errors: ConfigurationError."""
    target = assets / "bundles"
    if target.exists() and not (target / INDEX).is_file():
        raise UsageError(f"{target} holds something else than the app's bundles", hint="move it away first")
    try:
        assets.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".bundles-", dir=assets.parent))
    except OSError as error:
        raise ConfigurationError(f"{assets} cannot be written ({error.strerror})") from error
    try:
        lines = []
        new = staged / "bundles"
        for bundle in bundles:
            (new / bundle.name).mkdir(parents=True)
            for path in bundle.files:
                copy = new / bundle.name / path.name
                shutil.copyfile(path, copy)
                lines.append(f"{sha256_file(copy)} {copy.stat().st_size} {bundle.name}/{path.name}\n")
        (new / INDEX).write_text("".join(lines), encoding="utf-8")
        with deferred():  # a signal between both would lose the old ones
            if target.exists():
                target.rename(staged / "old")
            try:
                new.rename(target)
            except OSError:
                if (staged / "old").exists():
                    (staged / "old").rename(target)
                raise
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written ({error.strerror})") from error
    finally:
        with deferred():  # one that was held back above comes now
            shutil.rmtree(staged, ignore_errors=True)
    return target


def push(bundles: Sequence[AppBundle], serial: str | None) -> str:
    """Copy bundles to a phone with adb; returns its serial number. Errors: DeviceError, also without adb."""
    phone = AdbTransport(serial or _connected())
    phone.connect()
    if "package:" not in phone.run(["sh", "-c", f"pm path {PACKAGE} || true"]):
        raise DeviceError(
            f"{phone.address}: the app {PACKAGE} is not installed there",
            hint="build it with scripts/build-apk.sh, then: adb install -r build/android/edgepose.apk",
        )
    try:
        for bundle in bundles:
            _push_bundle(bundle, phone)
    except DeviceError as error:
        # The transport's hint is for who can choose the folder.
        if "ermission denied" in error.message or "Read-only" in error.message:
            hint = "unlock the phone and start the app there once, then again"
            raise DeviceError(error.message, hint=hint) from error
        raise
    return phone.address


def _push_bundle(bundle: AppBundle, phone: AdbTransport) -> None:
    part = f"{DEVICE_FOLDER}/.{bundle.name}.part"
    phone.run(["rm", "-rf", part])
    phone.run(["mkdir", "-p", part])
    for path in bundle.files:
        phone.push(path, f"{part}/{path.name}")
    whole = f"{DEVICE_FOLDER}/{bundle.name}"
    phone.run(["rm", "-rf", whole])
    phone.run(["mv", part, whole])


def _connected() -> str | None:
    """Return the phone that is ready, else any, else None. Errors: UsageError where several are ready."""
    found = adb_devices()
    ready = [device.serial for device in found if device.state == "device"]
    if len(ready) > 1:
        raise UsageError(f"several phones are connected: {', '.join(ready)}", hint="name one with --serial")
    return next(iter([*ready, *(device.serial for device in found)]), None)
