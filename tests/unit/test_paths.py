"""Where files are kept between runs."""

from __future__ import annotations

import pytest

from edgepose.errors import ConfigurationError
from edgepose.paths import cache_dir


def test_a_home_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(ConfigurationError, match="~nobody-of-this-name/cache") as refused:
        cache_dir("zoo")
    assert refused.value.hint is not None and "EDGEPOSE_CACHE" in refused.value.hint
