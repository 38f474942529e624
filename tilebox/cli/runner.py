"""The command `tilebox runner`, which executes the tasks of a module."""

# ruff: noqa: D301 - click does not rewrap a paragraph that starts with the character \b

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from tilebox.cli.options import shown_errors

if TYPE_CHECKING:
    from types import ModuleType

    from tilebox.workflows import Task, TaskRunner

# A runner that ends sooner than this could not start, and a restart would not help.
START_SECONDS = 3.0
RESTART_SECONDS = 1.0
MIB = 1 << 20


@click.command()
@click.argument("tasks", metavar="MODULE[:NAME]")
@click.option("--cluster", help="Slug of the cluster whose tasks to execute.  [default: the default cluster]")
@click.option(
    "-n",
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of runner processes. One that dies is replaced.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of tasks that each runner executes at the same time.",
)
@click.option(
    "--isolation",
    type=click.Choice(["thread", "process"]),
    default="thread",
    show_default=True,
    help="Execute tasks in threads of the runner, or in child processes, which can have limits and may crash.",
)
@click.option(
    "--cache",
    metavar="FOLDER",
    help="Folder of the job cache, in which the tasks of a job share data.  [default: none]",
)
@click.option(
    "--time-limit", type=float, metavar="SECONDS", help="Longest duration of a task; needs --isolation process."
)
@click.option("--memory-limit", type=int, metavar="MIB", help="Largest memory of a task; needs --isolation process.")
@click.option(
    "--recycle-after",
    type=int,
    metavar="TASKS",
    help="Replace a child process after this number of tasks; needs --isolation process.",
)
@click.option(
    "--grace",
    type=float,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for tasks to finish after a stop; unfinished ones are then returned to the server.",
)
@click.option("--until-done", is_flag=True, help="End when no tasks are left, instead of waiting for more.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--url", help="URL of the server.  [default: $TILEBOX_API_URL]")
@click.option("--token", help="API key, of role run or admin.  [default: $TILEBOX_API_KEY]")
@click.option("--supervised", is_flag=True, hidden=True)
def command(tasks: str, **flags: Any) -> None:
    """Execute the tasks of MODULE until Ctrl-C or SIGTERM.

    NAME is a task class in the module, or a list of them. Without NAME, the runner registers all task classes that the
    module defines. Modules in the current directory take precedence. The first Ctrl-C lets running tasks finish, the
    second one ends the runner at once. Unfinished tasks are returned to the server for other runners.

    \b
    Examples:
        tilebox runner pipeline:tasks
        tilebox runner pipeline -n 4 --cluster testing-CvufcSxcC9SKfe
        tilebox runner pipeline:Mosaic --isolation process --memory-limit 2048 --time-limit 3600
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level="WARNING")
    logging.getLogger("tilebox").setLevel(flags["log_level"].upper())
    if flags["processes"] > 1:
        sys.exit(_Supervisor(flags["processes"]).run())
    with shown_errors():
        runner = _runner(_task_classes(tasks), **flags)
        if flags["supervised"]:
            threading.Thread(target=_stop_at_end, args=(runner,), daemon=True).start()
        try:
            runner.run_all() if flags["until_done"] else runner.run_forever()
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
        except KeyboardInterrupt:
            sys.exit(130)


def _runner(classes: list[type[Task]], **flags: Any) -> TaskRunner:
    from tilebox.workflows import Client
    from tilebox.workflows.cache import LocalFileSystemCache

    memory_limit = flags["memory_limit"]
    try:
        return Client(flags["url"], flags["token"]).runner(
            flags["cluster"],
            tasks=classes,
            cache=None if flags["cache"] is None else LocalFileSystemCache(flags["cache"]),
            concurrency=flags["concurrency"],
            isolation=flags["isolation"],
            grace_seconds=flags["grace"],
            time_limit=flags["time_limit"],
            memory_limit=None if memory_limit is None else memory_limit * MIB,
            recycle_after=flags["recycle_after"],
        )
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _task_classes(reference: str) -> list[type[Task]]:
    module_name, _, name = reference.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise click.UsageError(
            f"there is no module {module_name!r} in the current directory or among the installed packages"
        ) from None
    if not name:
        return _defined_in(module)
    try:
        value = getattr(module, name)
    except AttributeError:
        raise click.UsageError(f"the module {module_name!r} has no {name!r}") from None
    return [value] if isinstance(value, type) else list(value)


def _defined_in(module: ModuleType) -> list[type[Task]]:
    from tilebox._core.tasks.task import Task, can_execute

    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Task)]
    return [class_ for class_ in classes if class_.__module__ == module.__name__ and can_execute(class_)]


def _stop_at_end(runner: TaskRunner) -> None:
    """Stop the runner when its supervisor has ended, which closes the standard input."""
    sys.stdin.buffer.read()
    runner.stop()


class _Supervisor:
    """Runs several processes of this command, forwards signals to them, and replaces those that die.

    Args:
        count: The number of processes.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._is_stopping = threading.Event()
        self._status = 0

    def run(self) -> int:
        """Run until all processes have ended, and return the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._forward)
        threads = [threading.Thread(target=self._keep_running) for _ in range(self._count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._status

    def _keep_running(self) -> None:
        while not self._is_stopping.is_set():
            started = time.monotonic()
            status = self._run_once()
            if status == 0 or self._is_stopping.is_set():
                return
            if time.monotonic() - started < START_SECONDS:
                self._status = 1
                self._is_stopping.set()
                self._send(signal.SIGTERM)
                return
            logging.getLogger("tilebox.workflows.runner").error("a runner ended with status %d; restarting it", status)
            self._is_stopping.wait(RESTART_SECONDS)

    def _run_once(self) -> int:
        command = [sys.executable, "-m", "tilebox.cli", *sys.argv[1:], "--processes", "1", "--supervised"]
        with self._lock:
            if self._is_stopping.is_set():
                return 0
            # In a new session, because Ctrl-C reaches all processes of a terminal and would arrive twice.
            process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - itself
            self._running.append(process)
        try:
            return process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()
            with self._lock:
                self._running.remove(process)

    def _forward(self, number: int, _frame: object) -> None:
        self._is_stopping.set()
        # In a thread, because a signal handler must not wait for a lock that the interrupted code may hold.
        threading.Thread(target=self._send, args=(number,)).start()

    def _send(self, number: int) -> None:
        with self._lock:
            for process in self._running:
                if process.poll() is None:
                    os.kill(process.pid, number)
