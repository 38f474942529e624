"""The command line `tilebox`, one file per command.

May import: everything; a command imports what it needs only when it runs.
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
