"""The real verbs on SQLite in memory, run by processes that may die between any two statements.

A transaction runs without interruption in virtual time, because other processes never see a part of it. Before it and
after it, the process may have to wait. A process that dies within a transaction has changed nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from uuid import UUID

from simulation.processes.virtual_time import wait_forever

from tilebox.errors import ServerError
from tilebox.server.store.sql.migrate import apply_pending, migrations
from tilebox.server.store.sqlite.store import SqliteStore, run_steps
from tilebox.server.store.work.interface import Effects
from tilebox.server.store.work.verbs import read_announcement

if TYPE_CHECKING:
    from simulation.processes.server import Server
    from simulation.world import World

_note: ContextVar[Callable[[Any], None] | None] = ContextVar("note", default=None)


class Disk:
    """The database, used by one seed after the other."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA foreign_keys = ON")
        run_steps(self.connection, apply_pending(migrations("sqlite")))

    def begin(self) -> None:
        """Begin the transaction that contains everything a seed does."""
        self.connection.execute("BEGIN")

    def rollback(self) -> None:
        """Undo everything that a seed did."""
        self.connection.execute("ROLLBACK")

    def select(self, sql: str, *arguments: Any) -> list[sqlite3.Row]:
        return self.connection.execute(sql, arguments).fetchall()


class SimulatedStore(SqliteStore):
    """The store of one server process.

    Args:
        world: The world of the server.
        server: The server, which may die within a transaction.
        name: The name of the process.
    """

    def __init__(self, world: World, server: Server, name: str) -> None:
        self.process = name
        self.is_shared = world.plan.servers > 1
        self._world = world
        self._server = server

    async def clock_us(self) -> int | None:
        """Return the time of the database's clock if several servers share it."""
        return self._world.true_us() if self.is_shared else None

    async def read(self, verb):
        await self._world.yield_by_chance()
        self._inject_failure()
        return run_steps(self._world.disk.connection, verb())

    async def write(self, verb):
        await self._world.yield_by_chance()
        self._inject_failure()
        answer = await self._commit(verb)
        await self._world.yield_by_chance()
        # The other kind of failure: the commit succeeded, but the caller gets an error.
        self._inject_failure()
        return answer

    async def write_grouped(self, verb, tasks=(), *, is_repeatable=False):
        return await self.write(verb)

    async def exchange(self, team, reports, claim, **rules):
        return await self._recorded(
            super().exchange(team, reports, claim, **rules),
            lambda answer: self._world.record_exchange(self.process, reports, claim, answer),
        )

    async def submit_and_claim(self, job, claims, **rules):
        def note(answer):
            self._world.ledger.submitted.add(job.id)
            for claim, result in zip(claims, answer[1], strict=True):
                self._world.record_exchange(self.process, (), claim, result)

        return await self._recorded(super().submit_and_claim(job, claims, **rules), note)

    async def cancel_job(self, team, job):
        return await self._recorded(
            super().cancel_job(team, job), lambda effects: self._world.record_cancel(job, effects)
        )

    async def retry_job(self, team, job, **rules):
        return await self._recorded(
            super().retry_job(team, job, **rules), lambda _: self._world.ledger.record_retry(job)
        )

    async def announcements(self) -> AsyncGenerator[Effects, None]:
        """Yield the effects that other servers announced."""
        inbox = self._world.subscribe(self._server)
        yield Effects()
        while True:
            effects = read_announcement(await inbox.get(), self.process)
            if effects is not None:
                yield effects

    def undo(self, connection) -> None:
        """Roll back a transaction."""
        connection.execute("ROLLBACK TO simulated")
        connection.execute("RELEASE simulated")

    async def _recorded(self, verb, note):
        token = _note.set(note)
        try:
            return await verb
        finally:
            _note.reset(token)

    async def _commit(self, verb):
        connection, note = self._world.disk.connection, _note.get()
        connection.execute("SAVEPOINT simulated")
        announced: list[str] = []
        try:
            answer = self._run(connection, verb(), announced)
        except _Died:
            self.undo(connection)
            self._server.die()
            await wait_forever()
        except BaseException:
            self.undo(connection)
            raise
        connection.execute("RELEASE simulated")
        if note is not None:
            note(answer)
        for message in announced:
            self._world.announce(message)
        if self._world.dies("server_dies"):
            self._server.die()
            await wait_forever()
        return answer

    def _run(self, connection, steps, announced):
        if not self._world.faults.server_dies and not self.is_shared:
            return run_steps(connection, steps)
        return run_steps(connection, self._watched(steps, announced))

    def _watched(self, steps, announced):
        """Let the process die before any of the steps, and collect the announcements."""
        rows = None
        while True:
            try:
                step = steps.send(rows)
            except StopIteration as stop:
                return stop.value
            if self._world.dies("server_dies"):
                raise _Died
            if step.statement.name == "announce":
                announced.append(step.arguments["message"])
            rows = yield step

    def _inject_failure(self) -> None:
        if self._world.is_database_down or self._world.happens("refused"):
            self._world.note(self.process, "gets an error from the database")
            raise ServerError("the database is down", code="unavailable")


class _Died(BaseException):
    """The process died within a transaction."""


def make_team(disk: Disk) -> UUID:
    """Insert a team with a default cluster, which all seeds share."""
    team = UUID(int=1)
    disk.connection.execute("INSERT INTO teams (id, slug, name, created_us) VALUES (?, 'sim', 'Sim', 0)", (team.bytes,))
    disk.connection.execute(
        "INSERT INTO clusters (team_id, slug, display_name, description, is_default, created_us)"
        " VALUES (?, 'sim', 'Sim', '', 1, 0)",
        (team.bytes,),
    )
    return team
