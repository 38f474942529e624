"""Helpers for tests of workflows: a single task, a whole workflow, and a server in the test's process.

    from tilebox.testing import run_task, run_workflow

    def test_the_root_submits_three_leaves():
        result = run_task(RootTask(3))
        assert [type(task) for task in result.subtasks] == [Leaf, Leaf, Leaf]

    def test_the_whole_workflow():
        result = run_workflow(RootTask(3), tasks=[RootTask, Leaf])
        assert result.job.state.name == "COMPLETED"

May import: everything, including the server, so it needs the extra `server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox.testing.local_server import LocalServer
    from tilebox.testing.single_task import TaskResult, run_task
    from tilebox.testing.workflow import WorkflowResult, run_workflow

__all__ = ["LocalServer", "TaskResult", "WorkflowResult", "run_task", "run_workflow"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "LocalServer": "tilebox.testing.local_server",
        "TaskResult": "tilebox.testing.single_task",
        "WorkflowResult": "tilebox.testing.workflow",
        "run_task": "tilebox.testing.single_task",
        "run_workflow": "tilebox.testing.workflow",
    },
)
