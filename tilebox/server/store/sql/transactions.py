"""Transactions: decorators that turn a generator of calls into a coroutine which runs them in one transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from tilebox.server.store.sql.statements import Steps

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Transactions")
Verb = Callable[Concatenate[S, P], Steps[T]]
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


class Transactions(ABC):
    """A back end that runs verbs in transactions.

    Attributes:
        is_shared: Whether other processes may change the database too.
    """

    is_shared = False

    @abstractmethod
    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that only reads."""

    @abstractmethod
    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in its own transaction, and roll it back if the verb raises an error."""

    async def write_grouped(
        self, verb: Callable[[], Steps[T]], tasks: Sequence[bytes] = (), *, is_repeatable: bool = False
    ) -> T:
        """Run a verb in a transaction that it may share with other waiting verbs (group commit).

        An error of the verb undoes only the verb. This default runs it in its own transaction.

        Args:
            verb: The verb.
            tasks: The tasks whose jobs the verb locks. A back end must lock the jobs of the whole group in one order
                before it runs the first verb: each verb locks its own jobs in order, but together they would not.
            is_repeatable: Whether the work is done again if a loss of power undoes it.
        """
        del tasks, is_repeatable
        return await self.write(verb)


def reads(verb: Verb[S, P, T]) -> Method[S, P, T]:
    """Turn a verb that only reads into a coroutine."""

    @wraps(verb)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(lambda: verb(self, *args, **kwargs))

    return method


def writes(verb: Verb[S, P, T]) -> Method[S, P, T]:
    """Turn a verb that writes into a coroutine, which runs it in one transaction."""

    @wraps(verb)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.write(lambda: verb(self, *args, **kwargs))

    return method
