"""What output files may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepose.cli.options import check_outputs
from edgepose.errors import UsageError


def test_standard_output_is_for_json_alone() -> None:
    check_outputs({"--json": Path("-")}, ())
    for option in ("-o", "--junit", "--markdown"):
        with pytest.raises(UsageError, match=f"{option} - : only --json"):
            check_outputs({option: Path("-")}, ())


def test_two_outputs_have_two_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(UsageError, match="x: --json and --junit name one file"):
        check_outputs({"--json": path, "--junit": path}, ())
    check_outputs({"--json": Path("/dev/null"), "--junit": Path("/dev/null")}, ())


def test_a_bundle_that_is_no_input_takes_no_output(tmp_path: Path) -> None:
    """With another file in it no command would take it any more."""
    bundle = tmp_path / "bundle"
    (bundle / "deeper").mkdir(parents=True)
    (bundle / "bundle.json").write_text('{"format": "edgepose-bundle"}')
    (tmp_path / "link").symlink_to(bundle / "deeper")
    for place in (bundle, bundle / "deeper", tmp_path / "link"):
        with pytest.raises(UsageError, match="-o would write into a bundle"):
            check_outputs({"-o": place / "r.html"}, ())
    (bundle / "bundle.json").write_text('{"format": "web"}')
    check_outputs({"-o": bundle / "r.html"}, ())
