"""`python -m edgepose`."""

from __future__ import annotations

import sys

from edgepose.cli.main import main

sys.exit(main())
