"""`tilebox keys create`, `list` and `revoke`. They work on the database, whether or not a server runs on it."""

# ruff: noqa: D301 - click takes the character \b as the start of lines to be left alone

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
    """Make, list and revoke API keys.

    \b
    Roles:
        read    queries
        submit  read, and write datapoints and collections
        run     the same, for runners
        admin   everything, datasets included
    """


@keys.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["read", "submit", "run", "admin"]), default="read", show_default=True)
@click.option("--expires", metavar="AGE", help="When the key ends, as 12h, 30d or 8w from now.  [default: never]")
@data_dir
@database
def create(name: str, role: str, expires: str | None, **flags: Any) -> None:
    """Make a key for NAME and print it; it is not shown again.

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
    """List the keys, the oldest first, with when they were last used."""

    async def run(store: Store, team: Team) -> None:
        click.echo(_table(await store.keys(team.id)))

    _with_store(run, **flags)


@keys.command()
@click.argument("which", metavar="ID|KEY|NAME")
@data_dir
@database
def revoke(which: str, **flags: Any) -> None:
    """Revoke a key; running servers follow in seconds.

    It is named as `tilebox keys list` shows it: by its id or the first characters of that, by the first characters
    of the key or all of it, or by its name. More than one such key is an error that lists them.

    \b
    Examples:
        tilebox keys revoke 0199c1
        tilebox keys revoke tbx_k3Fq
        tilebox keys revoke notebook
    """

    async def run(store: Store, team: Team) -> None:
        from tilebox.server.clock import now_us

        found = _chosen(which, await store.keys(team.id))
        await store.revoke_key(team.id, found.id, now_us())
        click.echo(f"Revoked key {found.id} of {found.name}.")

    _with_store(run, **flags)


def _with_store(run: Callable[[Store, Team], Awaitable[None]], data_dir: Path | None, database: str | None) -> None:
    settings = read_settings(data_dir=data_dir, database=database)
    if settings.database is None and not (settings.data_dir / "tilebox.sqlite").exists():
        raise click.ClickException(
            f"there is no server's data in {settings.data_dir.resolve()}; name it with --data-dir, or start one there "
            "with `tilebox serve`"
        )

    async def main() -> None:
        from tilebox.server.store import open_store

        store = open_store(settings.database_url)
        try:
            teams = await store.teams()
            if not teams:
                raise click.ClickException("this database has no team yet; start a server on it once")
            await run(store, teams[0])
        finally:
            await store.close()

    with shown_errors():
        try:
            anyio.run(main)
        except ValueError as error:
            raise click.ClickException(str(error)) from None


def _table(shown: Iterable[Key]) -> str:
    rows = [("ID", "KEY", "ROLE", "STATE", "LAST USED", "NAME")]
    rows += [(str(key.id), f"{key.hint}…", key.role, _state(key), _date(key.last_used_us), key.name) for key in shown]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _chosen(text: str, known: list[Key]) -> Key:
    text = text.strip()
    found = [key for key in known if _is_named(key, text)] if text else []
    # A name that was given again means the key that still works; the whole id means just that one.
    found = [key for key in found if key.revoked_us is None] or found
    found = [key for key in found if str(key.id) == text.lower()] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise click.ClickException(
            f"no key has the id, the first characters or the name {text!r}; see `tilebox keys list`"
        )
    raise click.ClickException(f"{len(found)} keys match {text!r}; name one of them by its id:\n{_table(found)}")


def _is_named(key: Key, text: str) -> bool:
    """Tell whether a text names a key: by its id, the start of that, the key as shown or whole, or its name."""
    from tilebox.server.access.keys import digest, is_well_formed

    if is_well_formed(text):
        return key.digest == digest(text)
    return str(key.id).startswith(text.lower()) or key.name == text or key.hint == text.rstrip("….")


def _lifetime_us(text: str | None) -> int | None:
    if text is None:
        return None
    parts = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if parts is None or not int(parts[1]):
        raise click.BadParameter(f"{text!r} is no age such as 12h, 30d or 8w", param_hint="--expires")
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
