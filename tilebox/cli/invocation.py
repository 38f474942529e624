"""The shell commands for this Python and this `tilebox`, as hints in the output show them."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

# Variables of tools that change the PATH of this process only, so the user's shell does not find the same commands.
_PATH_CHANGING_TOOLS = ("NOX_CURRENT_SESSION", "TOX_ENV_NAME", "UV")


def python() -> str:
    """Return the shell command for this Python: its name if the PATH finds it, else its path."""
    return "python" if _is_on_path("python") else shlex.quote(sys.executable)


def tilebox() -> str:
    """Return the shell command for `tilebox`: its name, its path, or the module of this Python."""
    script = shutil.which("tilebox", path=str(Path(sys.executable).parent))
    if script is None:
        return f"{python()} -m tilebox.cli"
    return "tilebox" if _is_on_path("tilebox") else shlex.quote(script)


def tilebox_serve() -> str:
    """Return the shell command for `tilebox serve`, to which flags can be appended; within nox, its session."""
    return "nox -s serve --" if "NOX_CURRENT_SESSION" in os.environ else f"{tilebox()} serve"


def _is_on_path(name: str) -> bool:
    if any(variable in os.environ for variable in _PATH_CHANGING_TOOLS):
        return False
    path = shutil.which(name)
    return path is not None and Path(path).parent == Path(sys.executable).parent
