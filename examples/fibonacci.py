"""Compute Fibonacci numbers, one task per number, with a job cache in files.

Within a job, no number is computed twice: a task that finds its number in the cache submits nothing. Each job has its
own cache, so a second job computes everything again.
"""

from __future__ import annotations

import sys
import tempfile

from local import workflows

from tilebox.workflows import ExecutionContext, Task
from tilebox.workflows.cache import LocalFileSystemCache


class Fibonacci(Task):
    n: int

    def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"Fibonacci({self.n})"
        if f"fib-{self.n}" in context.job_cache:
            return
        if self.n < 2:
            context.job_cache[f"fib-{self.n}"] = str(self.n).encode()
            return
        # The second waits for the first, so it finds all of its results in the cache.
        previous = context.submit_subtask(Fibonacci(self.n - 1))
        second_previous = context.submit_subtask(Fibonacci(self.n - 2), depends_on=[previous])
        context.submit_subtask(Add(self.n), depends_on=[previous, second_previous])


class Add(Task):
    n: int

    def execute(self, context: ExecutionContext) -> None:
        cache = context.job_cache
        total = int(cache[f"fib-{self.n - 1}"]) + int(cache[f"fib-{self.n - 2}"])
        context.current_task.display = f"{self.n}: {total}"
        cache[f"fib-{self.n}"] = str(total).encode()


def main(n: int = 12) -> int:
    """Compute a number, print it and return it."""
    with workflows() as client, tempfile.TemporaryDirectory() as folder:
        cache = LocalFileSystemCache(folder)
        job = client.jobs().submit("fibonacci", Fibonacci(n))
        client.runner(tasks=[Fibonacci, Add], cache=cache).run_all()
        result = int(cache.group(str(job.id))[f"fib-{n}"])
        print(f"Fibonacci({n}) = {result}, by {client.jobs().find(job).execution_stats.total_tasks} tasks")
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
