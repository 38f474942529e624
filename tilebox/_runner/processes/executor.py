"""Execution of each task in a child process, which may have limits, and whose death is reported with its cause.

A slot reuses its child. The runner sends it trusted data: the task classes by reference, and tasks as the server sent
them. The child runs user code, so the runner trusts nothing that it sends back, and parses it only as protobuf.
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
    """Executes tasks in child processes, one for each slot.

    Args:
        registry: The task classes.
        cache: The cache, which has a group for each job. Each child gets a copy.
        runner_context: The value of `context.runner_context` in tasks. Each child gets a copy.
        time_limit: The longest duration of a task, in seconds.
        memory_limit: The largest memory of a child, in bytes.
        recycle_after: The number of tasks after which a child is replaced.

    Raises:
        ValueError: An argument cannot be pickled, or the system is not POSIX.
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
        self._pickled_arguments = _pickle(self._classes, cache, runner_context)
        self._time_limit = time_limit
        self._memory_limit = memory_limit
        self._recycle_after = recycle_after
        self._random = Random()  # noqa: S311 for the jitter of retries
        self._settings: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._children: dict[int, Child] = {}

    def start(self, cluster: str, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ARG002 children have their own
        """Start the first child, so that an error in the module of the tasks shows now.

        Raises:
            RuntimeError: The child did not start; the message gives the cause.
        """
        self._settings = {
            "cluster": cluster,
            "memory_limit": self._memory_limit,
            "path": sys.path,
            "directory": str(Path.cwd()),
            "arguments": sys.argv,
            "main": _main_module() if b"__main__" in self._pickled_arguments else None,
        }
        self._child(0)

    def run(self, slot: int, lease: Lease) -> Report:
        """Execute a task and return its report, also if the child dies."""
        if lease.task.identifier >= len(self._classes):
            return lease.handed_back()
        try:
            child = self._child(slot)
        except RuntimeError as error:
            return self._failed(lease, runners_pb2.FAILURE_KIND_CRASH, str(error))
        try:
            report = child.run(lease, self._time_limit, self._memory_limit)
        except ChildDiedError as death:
            self._discard(slot, child)
            if child.is_abandoned:
                return lease.handed_back()
            return self._failed(lease, death.kind, str(death))
        if self._recycle_after is not None and child.executed >= self._recycle_after:
            self._discard(slot, child)
            child.close()
        return report

    def abandon(self, slot: int) -> None:
        """Kill the child of a slot."""
        with self._lock:
            child = self._children.get(slot)
        if child is not None:
            child.is_abandoned = True
            child.kill()

    mark_lost = abandon

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
            child = Child(self._settings, self._pickled_arguments)
            with self._lock:
                self._children[slot] = child
        return child

    def _discard(self, slot: int, child: Child) -> None:
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


def _pickle(classes: list[Any], cache: Any, runner_context: Any) -> bytes:
    for name, value in (("a task class", classes), ("the cache", cache), ("the runner's context", runner_context)):
        try:
            pickle.dumps(value)
        except Exception as error:
            raise ValueError(f'{name} cannot be pickled, which isolation="process" needs: {error}') from error
    return pickle.dumps((classes, cache, runner_context))


def _main_module() -> tuple[str, str]:
    """Return how a child can import the main module of the program: by "name" or by "path", and its name or path.

    Raises:
        ValueError: The main module is not in a file, as in a notebook.
    """
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        return "name", name
    path = getattr(main, "__file__", None)
    if path is None or not Path(path).exists():
        raise ValueError('isolation="process" needs tasks that are defined in a file; import them from a module')
    return "path", str(Path(path).resolve())
