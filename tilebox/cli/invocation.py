"""How the reader of our output can start this Python and this `tilebox` again, from a shell of their own."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

# Set by tools that put the environment of this process on its PATH, where the reader's shell does not have it.
_RUNNERS = ("NOX_CURRENT_SESSION", "TOX_ENV_NAME", "UV")


def python() -> str:
    """Return this Python as a shell takes it: by name if that finds it, else by its path."""
    return "python" if _is_on_path("python") else shlex.quote(sys.executable)


def tilebox() -> str:
    """Return the command `tilebox` as a shell takes it: by name, by its path, or as a module of this Python."""
    script = shutil.which("tilebox", path=str(Path(sys.executable).parent))
    if script is None:
        return f"{python()} -m tilebox.cli"
    return "tilebox" if _is_on_path("tilebox") else shlex.quote(script)


def tilebox_serve() -> str:
    """Return `tilebox serve` as a shell takes it, behind which flags may stand; within nox its session of that name."""
    return "nox -s serve --" if "NOX_CURRENT_SESSION" in os.environ else f"{tilebox()} serve"


def _is_on_path(name: str) -> bool:
    if any(runner in os.environ for runner in _RUNNERS):
        return False
    found = shutil.which(name)
    return found is not None and Path(found).parent == Path(sys.executable).parent
