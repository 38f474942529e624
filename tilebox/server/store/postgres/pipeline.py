"""PostgreSQL without waiting for each statement: prepared, binary, and as many of them in flight as need no answer.

An exchange with a runner is a dozen short statements. What they cost is mostly around them: a round trip through
psycopg's cursors takes 75 µs of this process, planning a statement 100 µs of the server. Here, on the same
connection's libpq, a statement takes 3 µs and a wait for answers 10, and plans are made once.
"""

from __future__ import annotations

import asyncio
import os
from struct import Struct
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import errors, pq
from psycopg.adapt import Transformer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import abc

    from tilebox.server.store.postgres.pool import Connection
    from tilebox.server.store.statements import Call, Row, Statement, Steps

    Encoder = Callable[[Any], bytes]

T = TypeVar("T")

SETTINGS = {
    # The statements look a few rows up by their keys, however many they are called with. A plan made for one call
    # serves the next, and what the statistics say of a table right after ten thousand inserts is no reason to read it.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""What the session is told."""

_FAILURES = frozenset({pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED})
_BINARY = pq.Format.BINARY


class Pipeline:
    """A session of the database.

    Args:
        connection: Used for nothing else; closed with this.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        # Our own number for it: libpq closes its own by itself once a connection is broken, and whatever is opened next
        # gets that number, perhaps before the loop has heard that it is to look at it no more.
        self._socket = os.dup(self._libpq.socket)
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._prepared: dict[str, _Prepared] = {}
        # For each statement in flight, who takes its answer.
        self._takers: list[Callable[[pq.abc.PGresult], None] | None] = []
        self._is_awaited = False
        self._libpq.nonblocking = 1
        self._libpq.enter_pipeline_mode()
        self._is_reading = True
        self._loop.add_reader(self._socket, self._read)

    @property
    def is_lost(self) -> bool:
        """Whether the connection is known to be broken."""
        return self._libpq.status != pq.ConnStatus.OK

    async def close(self) -> None:
        """Let go of the connection."""
        self._stop_reading()
        await self._connection.close()

    def command(self, text: bytes) -> None:
        """Send a command, such as BEGIN."""
        self._libpq.send_query_params(text, None)
        self._takers.append(None)

    async def prepare(self, statement: Statement) -> _Prepared:
        """Let the database plan a statement, and learn from it which types it takes and returns.

        Raises:
            KeyError: It takes a type that nothing here can write.
        """
        numbered = statement.numbered
        name = f"s{len(self._prepared)}".encode()
        described: list[pq.abc.PGresult] = []
        self._libpq.send_prepare(name, numbered.text.encode())
        self._libpq.send_describe_prepared(name)
        self._takers += [None, described.append]
        await self.sync()
        prepared = self._prepared[numbered.text] = _Prepared(
            name, numbered.parameters, described[0], Transformer(self._connection)
        )
        return prepared

    async def run(self, steps: Steps[T]) -> T:
        """Run a verb's calls and return its answer. Calls that it does not wait for may still be under way then.

        Raises:
            psycopg.Error: A statement failed; nothing can be run before a ROLLBACK.
        """
        try:
            step = next(steps)
            while True:
                step = steps.send(await self._rows(step))
        except StopIteration as stop:
            answer: T = stop.value
            return answer

    async def sync(self) -> None:
        """Wait for all that was sent.

        Raises:
            psycopg.Error: A statement failed, and those behind it were not run.
        """
        takers, self._takers, self._is_awaited = self._takers, [], False
        self._libpq.pipeline_sync()
        while self._libpq.flush():
            await self._until_ready(is_writing=True)
        failure: psycopg.Error | None = None
        for taker in takers:
            result = await self._result()
            if result.status in _FAILURES:
                failure = failure or errors.error_from_result(result, "utf-8")
            elif taker is not None:
                taker(result)
        result = await self._result()
        if failure is not None:
            raise failure
        if result.status != pq.ExecStatus.PIPELINE_SYNC:
            raise errors.error_from_result(result, "utf-8")

    async def _rows(self, step: Call) -> list[Row]:
        rows: list[Row] = []
        text = step.statement.numbered.text
        if text and step.each != []:
            prepared = self._prepared.get(text) or await self.prepare(step.statement)
            self._libpq.send_query_prepared(
                prepared.name, prepared.encode(step), prepared.formats, result_format=_BINARY
            )
            self._takers.append((lambda result: rows.extend(prepared.load(result))) if prepared.columns else None)
            self._is_awaited |= bool(prepared.columns)
        if step.is_awaited and step.statement.answers and self._is_awaited:
            await self.sync()
        return rows

    async def _result(self) -> pq.abc.PGresult:
        while True:
            while self._libpq.is_busy():
                await self._until_ready()
            result = self._libpq.get_result()
            if result is not None:
                return result
            # None stands between the results of two statements.
            if self.is_lost:
                raise psycopg.OperationalError(self._libpq.get_error_message() or "the connection was lost")

    async def _until_ready(self, *, is_writing: bool = False) -> None:
        self._waiter = waiter = self._loop.create_future()
        if is_writing:
            self._loop.add_writer(self._socket, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if is_writing and self._is_reading:
                self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            self._libpq.consume_input()
        except psycopg.OperationalError:
            # Whoever waits finds out from the results that are not there.
            self._stop_reading()
        if self._waiter is not None:
            _wake(self._waiter)

    def _stop_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            os.close(self._socket)


class _Prepared:
    """A statement that the database knows by name.

    Args:
        name: What it is called there.
        parameters: The names of its parameters, in their order.
        described: What the database says of it.
        transformer: Reads its answers.
    """

    def __init__(
        self, name: bytes, parameters: Sequence[str], described: pq.abc.PGresult, transformer: abc.Transformer
    ) -> None:
        self.name = name
        self.columns = [(described.fname(number) or b"").decode() for number in range(described.nfields)]
        self.formats = [_BINARY] * len(parameters)
        self._transformer = transformer
        self._encoders = [
            (parameter, _ENCODERS[described.param_type(number)]) for number, parameter in enumerate(parameters)
        ]

    def encode(self, call: Call) -> list[bytes | None]:
        """Return the arguments of a call as the database reads them."""
        given = call.arguments if call.each is None else call.arrays
        return [None if given[parameter] is None else encode(given[parameter]) for parameter, encode in self._encoders]

    def load(self, result: pq.abc.PGresult) -> list[Row]:
        """Return the rows of an answer."""
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, self._row)

    def _row(self, values: Sequence[Any]) -> Row:
        return dict(zip(self.columns, values, strict=True))


def _array(kind: int, layout: str | None, encode: Encoder) -> Encoder:
    """Return an encoder of arrays of one dimension, whose elements may be NULL."""
    if layout is not None:
        element = Struct(f">i{layout}")
        size, pack = element.size - _LENGTH.size, element.pack

        def packed(value: Any) -> bytes:
            return pack(size, value)
    else:

        def packed(value: Any) -> bytes:
            content = encode(value)
            return _LENGTH.pack(len(content)) + content

    def encoded(values: Sequence[Any]) -> bytes:
        head = _HEAD.pack(1, 1, kind, len(values), 1)
        return head + b"".join([_NULL if value is None else packed(value) for value in values])

    return encoded


def _encoders() -> dict[int, Encoder]:
    # By the number that PostgreSQL knows a type by, for good: the number of its arrays, and what a value looks like.
    types: dict[int, tuple[int, str | None, Encoder]] = {
        16: (1000, "?", Struct(">?").pack),
        17: (1001, None, bytes),
        20: (1016, "q", Struct(">q").pack),
        21: (1005, "h", Struct(">h").pack),
        23: (1007, "i", Struct(">i").pack),
        25: (1009, None, str.encode),
        2950: (2951, None, lambda value: bytes(value.bytes)),
    }
    values = {kind: encode for kind, (_, _, encode) in types.items()}
    arrays = {array: _array(kind, layout, encode) for kind, (array, layout, encode) in types.items()}
    return values | arrays


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


# Dimensions, whether there may be NULLs, type of the elements, length, number of the first.
_HEAD = Struct(">iiIii")
_LENGTH = Struct(">i")
_NULL = _LENGTH.pack(-1)
_ENCODERS = _encoders()
