"""Entry point of `python examples/demo`."""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts `examples/demo` on the path; the package `demo` is found from the folder above it.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from demo.command import main  # noqa: E402

sys.exit(main())
