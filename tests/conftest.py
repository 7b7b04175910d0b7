"""What all tests share: where the shared data lies, converted bundles, and what a skip means in CI."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
DEMO = ROOT / "demo"

# The tests must import the installed package, not the checkout.
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != ROOT]


# What a test with many examples asserts does not hang on how busy the machine is.
settings.register_profile("edgepose", settings.default, deadline=None)
settings.load_profile("edgepose")

# Servers of tests are on this machine, which no proxy is asked for.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1,localhost"]))

# A shell that starts the tests in the background lets them ignore Ctrl-C, and so would what they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Turn a skip into a failure in CI, unless its reason begins with "optional:"."""
    return _no_skip_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Do the same with files that are skipped as a whole."""
    return _no_skip_in_ci((yield))


def _no_skip_in_ci(report: pytest.TestReport | pytest.CollectReport) -> Any:
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = _reason(report)
        optional = reason.removeprefix("Skipped: ").startswith("optional:")
        if not optional and not _lacks_shared(reason):
            report.outcome = "failed"
            report.longrepr = f"CI must run this test, but it was skipped: {reason}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _lacks_shared(reason: str) -> bool:
    return not SHARED.is_dir() and "shared" in reason


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say last how many tests the absent folder cost."""
    yield
    skipped = sum(_lacks_shared(_reason(report)) for report in terminalreporter.getreports("skipped"))
    if skipped:
        terminalreporter.write_line(f"{skipped} tests skipped: the shared folder is absent")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Give the folder of goldens, weights and pictures beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("../shared is absent")
    return SHARED


@pytest.fixture(scope="session")
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the conversions of this session away from the user's cache."""
    path = tmp_path_factory.mktemp("edgepose-cache")
    before = os.environ.get("EDGEPOSE_CACHE")
    os.environ["EDGEPOSE_CACHE"] = str(path)
    yield path
    if before is None:
        del os.environ["EDGEPOSE_CACHE"]
    else:
        os.environ["EDGEPOSE_CACHE"] = before


Bundles = dict[tuple[str, str], Path]


def _converted(checkpoints: list[Path], out: Path) -> Bundles:
    """Convert for every target at fp32 and fp16; bundle folders by (target, precision)."""
    from edgepose.converters import convert

    return {
        (made.backend, precision): made.path
        for precision in ("fp32", "fp16")
        for made in convert(
            checkpoints, ("ncnn", "openvino", "onnx"), precision=precision, out_dir=out / precision
        )
    }


@pytest.fixture(scope="session")
def demo_bundles(cache_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """Convert the networks that the repository carries once."""
    checkpoints = [DEMO / "rtmdet-nano-demo.pth", DEMO / "rtmpose-t-demo.pth"]
    return _converted(checkpoints, tmp_path_factory.mktemp("demo-bundles"))


@pytest.fixture(scope="session")
def bundles(
    request: pytest.FixtureRequest, cache_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundles:
    """Convert the official RTMDet-nano and a pose network once; without ../shared those that are carried."""
    if not SHARED.is_dir():
        found: Bundles = request.getfixturevalue("demo_bundles")
        return found
    names = ("rtmdet_nano_320-person.pth", "rtmpose-t-demo.pth")
    return _converted([SHARED / "weights" / name for name in names], tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def ncnn_bundle(bundles: dict[tuple[str, str], Path]) -> Path:
    """Give the two-stage ncnn bundle at fp32."""
    return bundles["ncnn", "fp32"]


@pytest.fixture(scope="session")
def openvino_bundle(bundles: dict[tuple[str, str], Path]) -> Path:
    """Give the two-stage OpenVINO bundle at fp32."""
    return bundles["openvino", "fp32"]
