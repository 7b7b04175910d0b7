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
