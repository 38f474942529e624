"""The command `tilebox` and its subcommands."""

# ruff: noqa: D301 - click does not rewrap a paragraph that starts with the character \b

from __future__ import annotations

import click

from tilebox import __version__
from tilebox.cli.keys import keys
from tilebox.cli.runner import command as runner_command
from tilebox.cli.serve import serve
from tilebox.cli.stac.command import command as import_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tilebox")
def tilebox() -> None:
    """Run a catalogue of satellite metadata, and workflows over it, on your own machine.

    \b
    Start a server, which prints an API key on its first start:
        tilebox serve

    \b
    Use it from Python:
        export TILEBOX_API_URL=http://127.0.0.1:8080
        export TILEBOX_API_KEY=$(cat tilebox-data/api-key)
        python -c 'from tilebox.datasets import Client; print(Client().datasets())'

    \b
    Execute the tasks of a module with five runner processes:
        tilebox runner my_workflow -n 5

    \b
    Create an API key that can only read:
        tilebox keys create notebook --role read
    """


tilebox.add_command(serve)
tilebox.add_command(keys)
tilebox.add_command(import_command)
tilebox.add_command(runner_command, "runner")
