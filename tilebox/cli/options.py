"""Options that several commands have, and errors as commands show them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tilebox.errors import MissingExtraError, TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilebox.server.settings import Settings

data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that holds everything the server keeps.  [default: tilebox-data]",
)
database = click.option(
    "--database",
    metavar="URL",
    help="Control database, as postgresql://user:password@host/name.  [default: SQLite in the data directory]",
)


def read_settings(**flags: Any) -> Settings:
    """Take settings from flags and the environment.

    Raises:
        click.UsageError: A setting is malformed.
    """
    from tilebox.server.settings import Settings

    try:
        return Settings.read(os.environ, **flags)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def shown_errors() -> Iterator[None]:
    """Show errors that were raised on purpose as one line, without a traceback."""
    try:
        yield
    except TileboxError as error:
        raise click.ClickException(str(error)) from None
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{MissingExtraError('The server', 'server')} (no module {error.name})") from None
