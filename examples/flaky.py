"""A service that fails now and then, and how a task tells what is worth another attempt."""

from __future__ import annotations

from typing import ClassVar

from local import workflows

from tilebox.workflows import ExecutionContext, NonRetryableError, Retry, Task
from tilebox.workflows.cache import InMemoryCache


class AskTheService(Task):
    """Fails twice and then works. Before the second attempt it waits 50 ms, before the third 100 ms."""

    retry: ClassVar[Retry] = Retry(delay_seconds=0.05, factor=2.0, jitter=0.0)

    def execute(self, context: ExecutionContext) -> None:
        attempt = context.current_task.retry_count + 1
        print(f"attempt {attempt}")
        if attempt < 3:
            raise ConnectionError("the service is not there")
        context.job_cache["attempts"] = str(attempt).encode()


class AskWithoutPassword(Task):
    """What will not change by itself is not tried again, although five more attempts are allowed."""

    def execute(self, context: ExecutionContext) -> None:
        raise NonRetryableError("the service wants a password")


def main() -> tuple[int, str]:
    """Return how many attempts the first task took, and what became of the second one's job."""
    cache = InMemoryCache()
    with workflows() as client:
        jobs = client.jobs()
        job = jobs.submit("flaky", AskTheService(), max_retries=5)
        hopeless = jobs.submit("hopeless", AskWithoutPassword(), max_retries=5)
        client.runner(tasks=[AskTheService, AskWithoutPassword], cache=cache).run_all()
        attempts = int(cache.group(str(job.id))["attempts"])
        state = jobs.find(hopeless).state.name
    print(f"the first worked at attempt {attempts}, the second is {state}")
    return attempts, state


if __name__ == "__main__":
    main()
