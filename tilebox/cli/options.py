"""Options shared by several commands, and the display of errors."""

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
    help="Directory of the server's data: database, datapoints and API key.  [default: tilebox-data]",
)
database = click.option(
    "--database",
    metavar="URL",
    help="PostgreSQL database for keys, datasets and jobs, as postgresql://user:password@host/name.  "
    "[default: SQLite in the data directory]",
)


def read_settings(**flags: Any) -> Settings:
    """Read the server's settings from flags and the environment; flags take precedence.

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
    """Show deliberate errors as one line, without a traceback."""
    try:
        yield
    except TileboxError as error:
        raise click.ClickException(str(error)) from None
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{MissingExtraError('The server', 'server')} (no module {error.name})") from None
