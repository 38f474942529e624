"""The demonstration is no part of the package: it lies in `examples`."""

from __future__ import annotations

import sys
from pathlib import Path

# Behind everything that is installed: the other examples have names that packages have, too.
sys.path.append(str(Path(__file__).parents[2] / "examples"))
