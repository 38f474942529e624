"""Verbs as transactions: what turns a generator of calls into the coroutine that an interface asks for."""

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
    """The ways in which a back end runs a verb.

    Attributes:
        is_shared: Whether other processes change what is kept, too.
    """

    is_shared = False

    @abstractmethod
    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that changes nothing."""

    @abstractmethod
    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in a transaction of its own: whatever it raises undoes what it did."""

    async def write_grouped(
        self, verb: Callable[[], Steps[T]], tasks: Sequence[bytes] = (), *, is_repeatable: bool = False
    ) -> T:
        """Run a verb in a transaction that it may share with other waiting verbs (group commit).

        Whatever the verb raises undoes only the verb. The default is a transaction of its own.

        Args:
            verb: The verb.
            tasks: The tasks whose jobs the verb locks.
            is_repeatable: Whether the caller repeats the verb if a loss of power undoes it.
        """
        del tasks, is_repeatable
        return await self.write(verb)


def reads(verb: Verb[S, P, T]) -> Method[S, P, T]:
    """Make a coroutine of a verb that changes nothing."""

    @wraps(verb)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(lambda: verb(self, *args, **kwargs))

    return method


def writes(verb: Verb[S, P, T]) -> Method[S, P, T]:
    """Make a coroutine of a verb that changes something, in one transaction."""

    @wraps(verb)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.write(lambda: verb(self, *args, **kwargs))

    return method
