"""The command line: `tilebox serve`, `tilebox keys`. One command a file.

May import: whatever the command it runs needs, and only once it runs.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from tilebox.cli.commands import tilebox
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        from tilebox.errors import MissingExtraError

        sys.exit(f"Error: {MissingExtraError('The command line', 'server')}")
    tilebox(prog_name="tilebox")
