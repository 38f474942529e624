"""A runner as a process of its own, to be sent signals.

    python programs.py URL OPTIONS-AS-JSON

It says `started NAME` when a task has started, `log MESSAGE` what the runner logs, and `ended` when the
runner has returned.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

from tilebox.workflows import Client, ExecutionContext, Task


def say(*words):
    print(*words, flush=True)


class Slow(Task):
    """Takes until a file is there."""

    until: str

    def execute(self, context: ExecutionContext) -> None:
        say("started", os.getpid())
        while not Path(self.until).exists():
            time.sleep(0.005)


class Endless(Task):
    how: str

    def execute(self, context: ExecutionContext) -> None:
        say("started", os.getpid())
        if self.how == "sleep":
            time.sleep(1000)
        elif self.how == "loop":
            while True:
                pass
        elif self.how == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        else:
            ctypes.PyDLL(None).sleep(1000)


class EndlessCoroutine(Task):
    async def execute(self, context: ExecutionContext) -> None:
        import anyio

        say("started", os.getpid())
        await anyio.sleep_forever()


class Dying(Task):
    how: str

    def execute(self, context: ExecutionContext) -> None:
        if self.how == "segv":
            ctypes.string_at(0)
        elif self.how == "exit":
            os._exit(3)
        elif self.how == "memory":
            blocks = []
            while True:
                blocks.append(bytearray(b"x" * (8 << 20)))
        elif self.how == "one block":
            bytearray(64 << 30)
        elif self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.how == "sys.exit":
            sys.exit(4)
        elif self.how in ("fork", "hold"):
            if os.fork() == 0:
                time.sleep(5 if self.how == "fork" else 60)
                os._exit(0)
            os._exit(5)


class Saying(Task):
    """Says which process it runs in, and submits, reports and caches what an isolated task may."""

    number: int

    def execute(self, context: ExecutionContext) -> None:
        print("this goes to standard output")
        assert sys.stdin.read() == ""
        context.current_task.display = f"{os.getpid()} {context.runner_context}"
        context.progress("said").done(1)
        context.job_cache[str(self.number)] = b"x"
        if self.number > 0:
            context.submit_subtask(Saying(self.number - 1))


class SayingCoroutine(Task):
    async def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"coroutine {os.getpid()}"


TASKS = [Slow, Endless, EndlessCoroutine, Dying, Saying, SayingCoroutine]


class SayingHandler(logging.Handler):
    """Says what is logged."""

    def emit(self, record):
        say("log", record.getMessage())


def main() -> None:
    options = json.loads(sys.argv[2])
    logging.basicConfig(level=logging.INFO, handlers=[SayingHandler()])
    runner = Client(sys.argv[1], "key").runner(tasks=TASKS, **options)
    try:
        runner.run_forever()
    except KeyboardInterrupt:
        say("interrupted")
    say("ended", signal.getsignal(signal.SIGINT) is signal.default_int_handler)


if __name__ == "__main__":
    main()
