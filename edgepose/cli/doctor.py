"""`edgepose doctor`: what is installed here, and what is missing for what."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import Any

import click


@click.command(short_help="Show what is installed and what is missing.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
def doctor(as_json: bool) -> None:
    """Show the versions of Python, EdgePose, its runtime and its packages, and how to get what is missing."""
    facts = _facts()
    click.echo(json.dumps(facts, indent=1) if as_json else "\n".join(_text(facts)))


def _facts() -> dict[str, Any]:
    from edgepose import __version__
    from edgepose.pipeline import default_threads

    return {
        "edgepose": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "default_threads": default_threads(),
        "runtime": _runtime(),
        "packages": _packages(),
        "onnxruntime_gpu": _onnxruntime_gpu(),
        "rknn": _rknn(),
    }


def _runtime() -> dict[str, Any]:
    from edgepose.core import load_core
    from edgepose.errors import MissingDependencyError

    try:
        core = load_core()
    except MissingDependencyError as error:
        return {"version": None, "backends": [], "problem": error.message, "fix": error.hint}
    # The engine of the tests runs no network.
    return {"version": core.version(), "backends": [n for n in core.available_backends() if n != "fake"]}


def _onnxruntime_gpu() -> dict[str, Any]:
    from edgepose.extras import installed_version, onnxruntime_for_gpus

    version = installed_version("onnxruntime-gpu")
    if version is None:
        return {"version": None, "fix": "pip install onnxruntime-gpu, in an environment without onnxruntime"}
    return {"version": version, "fix": onnxruntime_for_gpus() if installed_version("onnxruntime") else None}


def _rknn() -> dict[str, Any]:
    from edgepose.converters.rknn import environment

    found = environment.find()
    facts: dict[str, Any] = {"toolkit": found.version, "state": found.state, "folder": str(found.folder)}
    if found.state == "ready":
        return {**facts, "megabytes": found.megabytes}
    return {**facts, "reason": found.reason or "it is not set up", "fix": environment.SETUP_COMMAND}


def _packages() -> list[dict[str, Any]]:
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    from edgepose.errors import MissingDependencyError
    from edgepose.extras import PACKAGES, install_command
    from edgepose.media import load_cv2

    packages: list[dict[str, Any]] = []
    for import_name, (distribution, extra) in PACKAGES.items():
        entry: dict[str, Any] = {"package": distribution, "extra": extra or None}
        try:
            entry["version"] = version(distribution)
        except PackageNotFoundError:
            # Other distributions can bring the same module (opencv-python for cv2).
            entry["version"] = "unknown" if find_spec(import_name) else None
        if entry["version"] is None:
            entry["fix"] = install_command(extra, distribution)
        elif import_name == "cv2":
            try:
                load_cv2()
            except MissingDependencyError as error:
                entry |= {"version": None, "fix": f"{error.message}; {error.hint}"}
            except ModuleNotFoundError:  # another distribution took it along when it was removed
                entry |= {"version": None, "fix": f"pip install --force-reinstall {distribution}"}
        packages.append(entry)
    return packages


def _text(facts: dict[str, Any]) -> list[str]:
    runtime = facts["runtime"]
    lines = [
        f"edgepose   {facts['edgepose']}",
        f"python     {facts['python']}  ({facts['executable']})",
        f"platform   {facts['platform']}, {facts['processors']} processors, {facts['default_threads']} used",
    ]
    if runtime["version"] is None:
        lines += [f"runtime    MISSING: {runtime['problem']}", f"           {runtime['fix']}"]
    else:
        lines.append(f"runtime    {runtime['version']}, engines: {', '.join(runtime['backends']) or 'none'}")
    for package in facts["packages"]:
        purpose = f"  [{package['extra']}]" if package["extra"] else ""
        state = package["version"] or f"missing: {package['fix']}"
        lines.append(f"  {package['package']:<24} {state}{purpose}")
    gpu = facts["onnxruntime_gpu"]
    state = f"{gpu['version']}, beside onnxruntime" if gpu["version"] else "not installed"
    state = f"{state}: {gpu['fix']}" if gpu["fix"] else gpu["version"]
    lines.append(f"  {'onnxruntime-gpu':<24} {state}  [--device CUDA, TENSORRT]")
    rknn = facts["rknn"]
    if rknn["state"] == "ready":
        state = f"{rknn['toolkit']}, {rknn['megabytes']} MB, {rknn['folder']}"
    else:
        state = f"{rknn['state']}: {rknn['reason']}; {rknn['fix']}"
    lines.append(f"  {'rknn-toolkit2':<24} {state}  [--to rknn]")
    missing = [package for package in facts["packages"] if package["version"] is None]
    number = "1 package is" if len(missing) == 1 else f"{len(missing)} packages are"
    lines.append(f"{number} missing" if missing else "all packages are there")
    return lines
