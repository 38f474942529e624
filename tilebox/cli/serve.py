"""The command `tilebox serve`, which runs a server."""

# ruff: noqa: D301 - click does not rewrap a paragraph that starts with the character \b

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio
import click

from tilebox.cli import invocation
from tilebox.cli.options import data_dir, database, read_settings, shown_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilebox.server.process.run import Running
    from tilebox.server.settings import Settings


@click.command()
@data_dir
@click.option("--host", help="Address to listen on; 0.0.0.0 accepts other machines.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 selects a free port.  [default: 8080]")
@database
@click.option(
    "--storage",
    metavar="LOCATION",
    help="Storage of datapoints: a directory, or s3://bucket/prefix.  [default: the data directory]",
)
@click.option(
    "--synchronous",
    type=click.Choice(["full", "normal"]),
    help="Durability of runners' reports in SQLite: `full` survives a power failure; `normal` is faster, and after a "
    "power failure the latest tasks run again.  [default: full]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Lowest level of log messages.  [default: info]",
)
def serve(**flags: Any) -> None:
    """Run a server until Ctrl-C or SIGTERM.

    The first start creates the data directory and an API key of role admin, which is printed once and stored in
    DATA-DIR/api-key. Every option can also be an environment variable, such as TILEBOX_SERVER_PORT=9000. The
    operator's guide lists further settings.

    \b
    Examples:
        tilebox serve
        tilebox serve --data-dir /srv/tilebox --host 0.0.0.0 --port 80
        tilebox serve --database postgresql://tilebox@db/tilebox --storage s3://bucket/datapoints
    """
    settings = read_settings(**flags)
    # All files are for this user only, whatever the permissions of the data directory.
    os.umask(0o077)
    _set_up_logging(settings.log_level)
    with shown_errors(), _without_unused_modules():
        from tilebox.server.process.run import serve as run

        # A loop written in C saves a little of each request; there is none for Windows.
        options = {"use_uvloop": find_spec("uvloop") is not None}
        anyio.run(run, settings, lambda running: _started(running, settings), backend_options=options)


@contextmanager
def _without_unused_modules() -> Iterator[None]:
    """Keep pyarrow from importing modules that the server does not use.

    The import of pandas would take half of the start time; pyarrow's S3 client three megabytes of memory beside Lance's.
    """
    sys.meta_path.insert(0, _BlockingFinder)
    try:
        yield
    finally:
        sys.meta_path.remove(_BlockingFinder)


class _BlockingFinder:
    """A module finder that reports some modules as not installed; pyarrow works without them."""

    NAMES = frozenset({"pandas", "pyarrow._s3fs"})

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG003
        """Block these modules, and leave every other one to the next finders."""
        if name in cls.NAMES:
            raise ModuleNotFoundError(f"the server does not use {name}", name=name)


def _started(running: Running, settings: Settings) -> None:
    # The many objects of the start live as long as the server. Without this, each full garbage collection would traverse
    # them and delay all requests by 50 to 100 ms.
    gc.freeze()
    _return_memory()
    _announce(running, settings)


def _return_memory() -> None:
    """Return the memory that only the start needed, six megabytes, to the operating system; only glibc can."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _announce(running: Running, settings: Settings) -> None:
    key_file = settings.data_dir / "api-key"
    lines = [f"Tilebox server at {running.url}", ""]
    if running.first_key:
        lines += [f"The first API key, of role admin, was created and is shown only now: {running.first_key}"]
        if key_file.exists():
            lines += [f"It is stored in {key_file}, which only you can read."]
        lines += [""]
    lines += ["Use it:", f"  export TILEBOX_API_URL={running.url}"]
    if running.first_key and not key_file.exists():
        lines += [f"  export TILEBOX_API_KEY={running.first_key}"]
    elif key_file.exists():
        lines += [f"  export TILEBOX_API_KEY=$(cat {key_file})"]
    lines += [f"  {invocation.python()} -c 'from tilebox.datasets import Client; print(Client().datasets())'", ""]
    lines += [f"More keys: {invocation.tilebox()} keys --help.  Stop: Ctrl-C."]
    click.echo("\n".join(lines))


def _set_up_logging(level: str) -> None:
    # Only loggers of Tilebox follow the setting, because debug messages of libraries may contain secrets.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level="WARNING")
    logging.getLogger("tilebox").setLevel(level.upper())
