"""`tilebox.testing`: one task without a server, a whole workflow on a real one."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tilebox.testing import LocalServer, run_task, run_workflow
from tilebox.workflows import ExecutionContext, Task
from tilebox.workflows.cache import InMemoryCache

if TYPE_CHECKING:
    from collections.abc import Iterator


class Halve(Task):
    number: int

    def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"half of {self.number}"
        context.progress("halves").add(1)
        if self.number > 1:
            context.submit_subtask(Halve(self.number // 2), max_retries=1)
        context.job_cache[str(self.number)] = str(context.runner_context).encode()
        context.progress("halves").done(1)


class Awaited(Task):
    async def execute(self, context: ExecutionContext) -> None:
        context.job_cache["awaited"] = b"yes"


class Broken(Task):
    def execute(self, context: ExecutionContext) -> None:
        raise KeyError("Title")


@pytest.fixture(scope="module")
def local_server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


def test_a_task_by_itself() -> None:
    result = run_task(Halve(10), runner_context="here")
    assert result.subtasks == [Halve(5)]
    assert result.submitted[0].max_retries == 1
    assert result.display == "half of 10"
    assert result.progress == {"halves": (1, 1)}
    assert result.cache is not None
    assert result.cache["10"] == b"here"


def test_a_coroutine_by_itself() -> None:
    cache = InMemoryCache()
    assert run_task(Awaited(), cache=cache).subtasks == []
    assert cache["awaited"] == b"yes"


def test_what_a_task_raises_is_raised() -> None:
    with pytest.raises(KeyError, match="Title"):
        run_task(Broken())


def test_a_task_by_itself_needs_no_server(tmp_path) -> None:
    (tmp_path / "one.py").write_text(
        "import sys\n"
        "from tilebox.testing import run_task\n"
        "from tilebox.workflows import Task\n"
        "class One(Task):\n"
        "    def execute(self, context):\n"
        "        pass\n"
        "run_task(One())\n"
        "print([name for name in sys.modules if name.startswith(('tilebox.server', 'lance'))])\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "one.py"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_workflow(local_server: LocalServer) -> None:
    result = run_workflow(Halve(10), tasks=[Halve], runner_context="there", server=local_server)
    assert result.job.state == "COMPLETED"
    assert [task.display for task in result.tasks] == [f"half of {number}" for number in (10, 5, 2, 1)]
    assert {key: result.job_cache[key] for key in result.job_cache} == dict.fromkeys(["10", "5", "2", "1"], b"there")


def test_a_workflow_that_fails_is_returned_too(local_server: LocalServer) -> None:
    result = run_workflow([Broken(), Halve(1)], tasks=[Halve, Broken], server=local_server)
    assert result.job.state == "FAILED"


def test_workflows_of_a_server_do_not_see_each_other(local_server: LocalServer) -> None:
    jobs = [run_workflow(Halve(number), tasks=[Halve], server=local_server) for number in (1, 3)]
    assert [sorted(one.job_cache) for one in jobs] == [["1"], ["1", "3"]]


def test_a_server_that_does_not_start_says_why(tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"did not start: .*nonsense") as caught:
        LocalServer(tmp_path / "data", database="nonsense://").start()
    assert caught.value.__cause__ is not None
