"""Locks between changes of a dataset's type and writes of its datapoints."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID


class DatasetLocks:
    """Shared and exclusive locks of datasets, in this process.

    Writes of datapoints share a dataset; a change of its type or its removal excludes them. Without the lock, a
    batch could be acknowledged between the check that a dataset is empty and the change that replaces its table.
    """

    def __init__(self) -> None:
        self._writers: Counter[UUID] = Counter()
        self._changes: Counter[UUID] = Counter()
        self._changing: set[UUID] = set()
        self._released = anyio.Condition()

    @asynccontextmanager
    async def shared(self, dataset: UUID) -> AsyncIterator[None]:
        """Lock a dataset for writes of datapoints, concurrently with other writes."""
        # Waiting changes go first, or a steady flow of writers would starve them.
        if self._changes[dataset]:
            async with self._released:
                while self._changes[dataset]:
                    await self._released.wait()
                self._writers[dataset] += 1
        else:
            self._writers[dataset] += 1
        try:
            yield
        finally:
            await self._release(self._writers, dataset)

    @asynccontextmanager
    async def exclusive(self, dataset: UUID) -> AsyncIterator[None]:
        """Lock a dataset for a change, without concurrent writes or other changes."""
        self._changes[dataset] += 1
        try:
            async with self._released:
                while self._writers[dataset] or dataset in self._changing:
                    await self._released.wait()
                self._changing.add(dataset)
            try:
                yield
            finally:
                self._changing.discard(dataset)
        finally:
            await self._release(self._changes, dataset)

    async def _release(self, counter: Counter[UUID], dataset: UUID) -> None:
        counter[dataset] -= 1
        if not counter[dataset]:
            del counter[dataset]
        if counter is self._writers and not self._changes[dataset]:
            return  # only changes wait for writers
        with anyio.CancelScope(shield=True):
            async with self._released:
                self._released.notify_all()
