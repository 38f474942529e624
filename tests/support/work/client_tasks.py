"""Tasks that tests of the workflows client submit, and that a runner in another process executes."""

from __future__ import annotations

from tilebox.workflows import ExecutionContext, Task


class Root(Task):
    leaves: int

    def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"Root({self.leaves})"
        for index in range(self.leaves):
            context.submit_subtask(Leaf(index))


class Leaf(Task):
    index: int

    def execute(self, context: ExecutionContext) -> None:
        context.progress("leaves").add(1)
        context.progress("leaves").done(1)


class Broken(Task):
    def execute(self, context: ExecutionContext) -> None:
        raise KeyError("Title")
