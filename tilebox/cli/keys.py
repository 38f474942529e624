"""The commands `tilebox keys create`, `list` and `revoke`. They use the database directly, so no server must run."""

# ruff: noqa: D301 - click does not rewrap a paragraph that starts with the character \b

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import click

from tilebox.cli.options import data_dir, database, read_settings, shown_errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from tilebox.server.store.interface import Key, Store, Team

_SECOND_US = 1_000_000
_UNITS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@click.group()
def keys() -> None:
    """Create, list and revoke API keys.

    \b
    Roles:
        read    query data and look at jobs
        submit  also write datapoints and collections, and submit jobs
        run     also execute tasks, for runners
        admin   everything, including datasets and clusters

    \b
    Examples:
        tilebox keys create notebook --role read
        tilebox keys list
        tilebox keys revoke notebook

    The commands work on the data directory or database of a server, whether or not the server is running.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "submit", "run", "admin"]),
    default="read",
    show_default=True,
    help="What the key can do; `tilebox keys --help` explains the roles.",
)
@click.option(
    "--expires",
    metavar="AGE",
    help="Time until the key expires, in hours, days or weeks: 12h, 30d or 8w.  [default: never]",
)
@data_dir
@database
def create(name: str, role: str, expires: str | None, **flags: Any) -> None:
    """Create an API key with the label NAME and print it. The key is not shown again.

    \b
    Examples:
        tilebox keys create notebook
        tilebox keys create ingest-job --role submit --expires 30d
    """
    lifetime_us = _lifetime_us(expires)

    async def run(store: Store, team: Team) -> None:
        from tilebox.server.access.keys import make_key
        from tilebox.server.clock import now_us

        now = now_us()
        text, key = make_key(
            team.id, name=name, role=role, now_us=now, expires_us=now + lifetime_us if lifetime_us else None
        )
        await store.add_key(key)
        click.echo(text)
        click.echo(f"Key {key.id} of role {role} for {name}; it is not shown again.", err=True)

    _with_store(run, **flags)


@keys.command("list")
@data_dir
@database
def list_keys(**flags: Any) -> None:
    """List the API keys, oldest first, with role, state and last use.

    \b
    Example:
        tilebox keys list --data-dir /srv/tilebox
    """

    async def run(store: Store, team: Team) -> None:
        click.echo(_table(await store.keys(team.id)))

    _with_store(run, **flags)


@keys.command()
@click.argument("reference", metavar="ID|KEY|NAME")
@data_dir
@database
def revoke(reference: str, **flags: Any) -> None:
    """Revoke an API key. Running servers refuse it within seconds.

    Identify the key as `tilebox keys list` shows it: by its id or the first characters of its id, by the whole key or
    its first characters, or by its name. If several keys match, the command lists them and revokes none.

    \b
    Examples:
        tilebox keys revoke 0199c1
        tilebox keys revoke tbx_k3Fq
        tilebox keys revoke notebook
    """

    async def run(store: Store, team: Team) -> None:
        from tilebox.server.clock import now_us

        key = _find_key(reference, await store.keys(team.id))
        await store.revoke_key(team.id, key.id, now_us())
        click.echo(f"Revoked key {key.id} of {key.name}.")

    _with_store(run, **flags)


def _with_store(run: Callable[[Store, Team], Awaitable[None]], data_dir: Path | None, database: str | None) -> None:
    settings = read_settings(data_dir=data_dir, database=database)
    if settings.database is None and not (settings.data_dir / "tilebox.sqlite").exists():
        raise click.ClickException(
            f"there is no data of a server in {settings.data_dir.resolve()}; give its directory with --data-dir, or "
            "start a server there with `tilebox serve`"
        )

    async def main() -> None:
        from tilebox.server.store import open_store

        store = open_store(settings.database_url)
        try:
            teams = await store.teams()
            if not teams:
                raise click.ClickException(
                    "this database has no team yet; start a server on it once, which creates the first team and key"
                )
            await run(store, teams[0])
        finally:
            await store.close()

    with shown_errors():
        try:
            anyio.run(main)
        except ValueError as error:
            raise click.ClickException(str(error)) from None


def _table(keys: Iterable[Key]) -> str:
    rows = [("ID", "KEY", "ROLE", "STATE", "LAST USED", "NAME")]
    rows += [(str(key.id), f"{key.hint}…", key.role, _state(key), _date(key.last_used_us), key.name) for key in keys]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _find_key(reference: str, keys: list[Key]) -> Key:
    reference = reference.strip()
    matches = [key for key in keys if _matches(key, reference)] if reference else []
    # Among keys of one name, the valid one is meant; a whole id means exactly its key.
    matches = [key for key in matches if key.revoked_us is None] or matches
    matches = [key for key in matches if str(key.id) == reference.lower()] or matches
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise click.ClickException(
            f"no key has the id, the first characters or the name {reference!r}; see `tilebox keys list`"
        )
    raise click.ClickException(
        f"{len(matches)} keys match {reference!r}; give the id of one of them:\n{_table(matches)}"
    )


def _matches(key: Key, text: str) -> bool:
    """Return whether a text identifies a key: by its id or the start of it, by the whole key or its hint, or its name."""
    from tilebox.server.access.keys import digest, is_well_formed

    if is_well_formed(text):
        return key.digest == digest(text)
    return str(key.id).startswith(text.lower()) or key.name == text or key.hint == text.rstrip("….")


def _lifetime_us(text: str | None) -> int | None:
    if text is None:
        return None
    parts = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if parts is None or not int(parts[1]):
        raise click.BadParameter(f"{text!r} is not an age; write it as 12h, 30d or 8w", param_hint="--expires")
    return int(parts[1]) * _UNITS[parts[2]] * _SECOND_US


def _state(key: Key) -> str:
    if key.revoked_us is not None:
        return f"revoked {_date(key.revoked_us)}"
    if key.expires_us is None:
        return "valid"
    expired = key.expires_us <= datetime.now(UTC).timestamp() * _SECOND_US
    return f"{'expired' if expired else 'until'} {_date(key.expires_us)}"


def _date(time_us: int | None) -> str:
    return "never" if time_us is None else datetime.fromtimestamp(time_us // _SECOND_US, UTC).strftime("%Y-%m-%d %H:%M")
