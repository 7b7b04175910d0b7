"""What output files may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgepose.bundle.pack import refuse_existing
from edgepose.cli.options import check_output_folder, check_outputs
from edgepose.errors import ConfigurationError, UsageError


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


def test_a_folder_that_takes_no_files_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "read-only"
    (folder / "results").mkdir(parents=True)
    (folder / "there").write_text("a file that others may write makes no difference")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)  # to root all is allowed
    refused = pytest.raises(ConfigurationError, match=f"^{folder}: this folder is not writable")
    for name in ("new", "there"):
        with refused:
            check_outputs({"--json": folder / name}, ())
    for output in (folder, folder / "a" / "b"):
        with refused:
            check_output_folder(output)
    with refused:
        refuse_existing(folder / "a" / "bundle", force=False)
    check_outputs({"--json": folder / "results" / "new", "--junit": Path("/dev/null")}, ())
    check_output_folder(folder / "results")
    refuse_existing(folder / "results" / "bundle", force=False)
