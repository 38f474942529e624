"""`tilebox serve`."""

# ruff: noqa: D301 - click takes the character \b as the start of lines to be left alone

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
@click.option("--host", help="Address to listen on; 0.0.0.0 lets other machines in.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [default: 8080]")
@database
@click.option(
    "--storage",
    metavar="PLACE",
    help="Where datapoints are kept, a directory or s3://bucket/prefix.  [default: the data directory]",
)
@click.option(
    "--synchronous",
    type=click.Choice(["full", "normal"]),
    help="Whether what runners report to SQLite outlives a loss of power at once, or soon.  [default: full]",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: info]")
def serve(**flags: Any) -> None:
    """Run a server until Ctrl-C or SIGTERM.

    The first start creates the data directory and an API key of role admin, which is printed once and kept in
    DATA-DIR/api-key. Every option can also be set in the environment, as TILEBOX_SERVER_PORT=9000; there are more
    settings than options, see the operator's guide.

    \b
    Examples:
        tilebox serve
        tilebox serve --data-dir /srv/tilebox --host 0.0.0.0 --port 80
        tilebox serve --database postgresql://tilebox@db/tilebox --storage s3://bucket/datapoints
    """
    settings = read_settings(**flags)
    # Whatever the rights of the data directory: what is in it is for this user alone.
    os.umask(0o077)
    _set_up_logging(settings.log_level)
    with shown_errors(), _without_needless_modules():
        from tilebox.server.process.run import serve as run

        # A loop written in C saves a little of each request; there is none for Windows.
        options = {"use_uvloop": find_spec("uvloop") is not None}
        anyio.run(run, settings, lambda running: _started(running, settings), backend_options=options)


@contextmanager
def _without_needless_modules() -> Iterator[None]:
    """Keep pyarrow from importing what a server has no use for.

    Pandas would take half of the start; the S3 client, three megabytes beside Lance's own.
    """
    sys.meta_path.insert(0, _Refusing)
    try:
        yield
    finally:
        sys.meta_path.remove(_Refusing)


class _Refusing:
    """A finder of modules that says of some that they are not installed; pyarrow does without them then."""

    NAMES = frozenset({"pandas", "pyarrow._s3fs"})

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG003
        """Refuse these and leave every other module to the finders behind this one."""
        if name in cls.NAMES:
            raise ModuleNotFoundError(f"the server does not use {name}", name=name)


def _started(running: Running, settings: Settings) -> None:
    # What is there by now stays, and there is much of it: going through all of it again to find garbage would hold up
    # every request for 50 to 100 ms, now and then.
    gc.freeze()
    _return_memory()
    _announce(running, settings)


def _return_memory() -> None:
    """Give back to the system what only the start needed, six megabytes, where the C library can (glibc)."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _announce(running: Running, settings: Settings) -> None:
    key_file = settings.data_dir / "api-key"
    lines = [f"Tilebox server at {running.url}", ""]
    if running.first_key:
        lines += [f"A first API key, of role admin, was made and is shown only now: {running.first_key}"]
        if key_file.exists():
            lines += [f"It is kept in {key_file}, readable by you alone."]
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
    # Only our own loggers follow the setting: what libraries log at `debug` may hold what ours never do.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level="WARNING")
    logging.getLogger("tilebox").setLevel(level.upper())
