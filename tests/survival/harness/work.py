"""Tasks that log their executions, and a runner for them in a process of its own.

    python work.py URL TOKEN FOLDER OPTIONS-AS-JSON

Every execution appends a line to the file `effects` in FOLDER when it starts and when it ends, in one write each, so
that the lines of all processes are in the order of the events. The lines stand for the side effects of a task.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

from tilebox.workflows import Client, ExecutionContext, Task

_serial = itertools.count()


class Execution:
    """Logs one execution of a task. The task submits subtasks through `submit`, which counts them."""

    def __init__(self, context: ExecutionContext) -> None:
        self._context = context
        self._submitted = 0
        self.folder = Path(context.runner_context)
        self._name = f"{os.getpid()}.{next(_serial)}"

    def __enter__(self):
        self._write("start")
        return self

    def __exit__(self, kind, *_):
        self._write("end" if kind is None else "failure")

    def submit(self, task, **options):
        self._submitted += 1
        return self._context.submit_subtask(task, **options)

    def wait_for(self, name: str) -> None:
        """Block until a file exists."""
        while not (self.folder / name).exists():
            time.sleep(0.005)

    def _write(self, kind: str) -> None:
        task = self._context.current_task.id.hex
        line = f"{kind} {task} {self._name} {time.monotonic_ns()} {self._submitted}\n"
        number = os.open(self.folder / "effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(number, line.encode())
        os.close(number)


class Leaf(Task):
    """Sleeps for some time."""

    index: int
    milliseconds: int = 0

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context):
            time.sleep(self.milliseconds / 1000)


class Fan(Task):
    """Submits leaves, and a leaf that depends on all of them."""

    leaves: int
    milliseconds: int = 0

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context) as execution:
            leaves = [execution.submit(Leaf(index, self.milliseconds)) for index in range(self.leaves)]
            execution.submit(Leaf(-1), depends_on=leaves)


class Tree(Task):
    """Submits a tree of tasks of some width and depth, with leaves at the bottom."""

    depth: int
    width: int
    milliseconds: int = 0

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context) as execution:
            for index in range(self.width):
                if self.depth > 1:
                    execution.submit(Tree(self.depth - 1, self.width, self.milliseconds))
                else:
                    execution.submit(Leaf(index, self.milliseconds))


class Chain(Task):
    """Submits another task of its class, `left` times in a row."""

    left: int

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context) as execution:
            if self.left > 0:
                execution.submit(Chain(self.left - 1))


class Steps(Task):
    """Submits leaves, each of which depends on the one before."""

    count: int

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context) as execution:
            before = []
            for index in range(self.count):
                before = [execution.submit(Leaf(index), depends_on=before)]


class Diamond(Task):
    """Submits a fan, two fans that depend on it, and a leaf that depends on both."""

    leaves: int

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context) as execution:
            top = execution.submit(Fan(self.leaves))
            arms = [execution.submit(Fan(self.leaves), depends_on=[top]) for _ in range(2)]
            execution.submit(Leaf(0), depends_on=arms)


class Gated(Task):
    """Creates a file when it starts, blocks until another file exists, then submits a leaf."""

    name: str

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context) as execution:
            (execution.folder / f"{self.name}.started").write_text(str(os.getpid()))
            execution.wait_for(self.name)
            execution.submit(Leaf(0))


class Locking(Task):
    """Holds the GIL, in C, until another process opens a FIFO."""

    name: str

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context) as execution:
            number = ctypes.PyDLL(None).open(str(execution.folder / self.name).encode(), os.O_RDONLY)
            os.close(number)


class Poison(Task):
    """Kills the process that executes it."""

    how: str

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context):
            if self.how == "exit":
                os._exit(7)
            os.kill(os.getpid(), getattr(signal, self.how))


class Mixed(Task):
    """Submits leaves, and among them an optional task that kills the process or holds the GIL."""

    leaves: int
    position: int
    lock: str = ""

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context) as execution:
            for index in range(self.leaves):
                execution.submit(Leaf(index))
                if index == self.position:
                    bad = Locking(self.lock) if self.lock else Poison("SIGKILL")
                    execution.submit(bad, optional=True)


class Verbose(Task):
    """Fails with a long message and a deep traceback."""

    characters: int

    def execute(self, context: ExecutionContext) -> None:
        with Execution(context):
            self._descend(200)

    def _descend(self, depth: int) -> None:
        if depth:
            self._descend(depth - 1)
        raise ValueError("too much " * (self.characters // 9))


TASKS = [Leaf, Fan, Tree, Chain, Steps, Diamond, Gated, Locking, Poison, Mixed, Verbose]


def main() -> None:
    url, token, folder, options = sys.argv[1:]
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level="WARNING")
    logging.getLogger("tilebox").setLevel("INFO")
    Client(url, token).runner(tasks=TASKS, context=folder, **json.loads(options)).run_forever()


if __name__ == "__main__":
    main()
