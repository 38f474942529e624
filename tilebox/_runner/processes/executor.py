"""Executing each task in a child process, which may be limited, may crash, and is told apart by what it died of.

A slot keeps its child and uses it again. What goes to the child is ours: the task classes by reference,
and tasks as they came. What comes back may be anything, since user code ran there: it is read as a
protobuf message and nothing else.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._runner.execution import set_retry
from tilebox._runner.processes.process import Child, ChildDiedError

if TYPE_CHECKING:
    import asyncio

    from tilebox._core.runner.exchanges import Lease, Report
    from tilebox._core.runner.registry import Registry


class ProcessExecutor:
    """Executes each task in a child process, one for each slot.

    Args:
        registry: The task classes.
        cache: Of all jobs; a copy of it goes to each child.
        runner_context: What tasks find as `context.runner_context`; a copy of it goes to each child.
        time_limit: Seconds that a task may take.
        memory_limit: Bytes of memory that it may use.
        recycle_after: Number of tasks after which a child is replaced.

    Raises:
        ValueError: Something cannot be sent to a child.
    """

    def __init__(
        self,
        registry: Registry,
        cache: Any,
        runner_context: Any,
        *,
        time_limit: float | None,
        memory_limit: int | None,
        recycle_after: int | None,
    ) -> None:
        if os.name != "posix":
            raise ValueError('isolation="process" needs a POSIX system; use isolation="thread" here')
        self._classes = [registry.find(identifier) for identifier in registry.identifiers]
        self._sent = _pickled(self._classes, cache, runner_context)
        self._time_limit = time_limit
        self._memory_limit = memory_limit
        self._recycle_after = recycle_after
        self._random = Random()  # noqa: S311 it spreads retries
        self._words: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._children: dict[int, Child] = {}

    def start(self, cluster: str, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ARG002 children have their own
        """Start the first child, so that what is wrong with the tasks' module is heard of now.

        Raises:
            RuntimeError: It did not start; the message says why.
        """
        self._words = {
            "cluster": cluster,
            "memory_limit": self._memory_limit,
            "path": sys.path,
            "directory": str(Path.cwd()),
            "arguments": sys.argv,
            "main": _main_module() if b"__main__" in self._sent else None,
        }
        self._child(0)

    def run(self, slot: int, lease: Lease) -> Report:
        """Execute a task to its end, whatever end that is."""
        if lease.task.identifier >= len(self._classes):
            return lease.handed_back()
        try:
            child = self._child(slot)
        except RuntimeError as error:
            return self._failed(lease, runners_pb2.FAILURE_KIND_CRASH, str(error))
        try:
            report = child.run(lease, self._time_limit, self._memory_limit)
        except ChildDiedError as death:
            self._drop(slot, child)
            if child.is_unwanted:
                return lease.handed_back()
            return self._failed(lease, death.kind, str(death))
        if self._recycle_after is not None and child.executed >= self._recycle_after:
            self._drop(slot, child)
            child.close()
        return report

    def abandon(self, slot: int) -> None:
        """End what a slot executes."""
        with self._lock:
            child = self._children.get(slot)
        if child is not None:
            child.is_unwanted = True
            child.kill()

    lose = abandon

    def close(self) -> None:
        """End all children."""
        with self._lock:
            children, self._children = list(self._children.values()), {}
        for child in children:
            child.close()

    def _child(self, slot: int) -> Child:
        with self._lock:
            child = self._children.get(slot)
        if child is None or not child.is_alive():
            if child is not None:
                child.close()
            child = Child(self._words, self._sent)
            with self._lock:
                self._children[slot] = child
        return child

    def _drop(self, slot: int, child: Child) -> None:
        with self._lock:
            if self._children.get(slot) is child:
                del self._children[slot]

    def _failed(self, lease: Lease, kind: runners_pb2.FailureKind, error: str) -> Report:
        task = lease.task
        report = runners_pb2.FailedReport(
            task_id=task.task_id, lease_number=task.lease_number, display=task.display, kind=kind, error=error
        )
        set_retry(report, self._classes[task.identifier], task.retry_count, self._random)
        return report


def _pickled(classes: list[Any], cache: Any, runner_context: Any) -> bytes:
    for what, value in (("a task class", classes), ("the cache", cache), ("the runner's context", runner_context)):
        try:
            pickle.dumps(value)
        except Exception as error:
            raise ValueError(
                f'{what} cannot be sent to another process, as isolation="process" needs: {error}'
            ) from error
    return pickle.dumps((classes, cache, runner_context))


def _main_module() -> tuple[str, str]:
    """Return where a child finds what is defined in the program's main module.

    Raises:
        ValueError: Nowhere, as in a notebook.
    """
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        return "name", name
    path = getattr(main, "__file__", None)
    if path is None or not Path(path).exists():
        raise ValueError('isolation="process" needs tasks that a file defines; import them from a module')
    return "path", str(Path(path).resolve())
