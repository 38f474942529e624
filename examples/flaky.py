"""Retries: a task that calls an unreliable service, and an error that no retry can fix."""

from __future__ import annotations

from typing import ClassVar

from local import workflows

from tilebox.workflows import ExecutionContext, NonRetryableError, Retry, Task
from tilebox.workflows.cache import InMemoryCache


class AskTheService(Task):
    """Fails twice, then succeeds. The delay is 50 ms before the second attempt and 100 ms before the third."""

    retry: ClassVar[Retry] = Retry(delay_seconds=0.05, factor=2.0, jitter=0.0)

    def execute(self, context: ExecutionContext) -> None:
        attempt = context.current_task.retry_count + 1
        print(f"attempt {attempt}")
        if attempt < 3:
            raise ConnectionError("the service is unavailable")
        context.job_cache["attempts"] = str(attempt).encode()


class AskWithoutPassword(Task):
    """Fails at once: `NonRetryableError` ends the task, although five retries are left."""

    def execute(self, context: ExecutionContext) -> None:
        raise NonRetryableError("the service requires a password")


def main() -> tuple[int, str]:
    """Return the number of attempts of the first task and the job state of the second."""
    cache = InMemoryCache()
    with workflows() as client:
        jobs = client.jobs()
        job = jobs.submit("flaky", AskTheService(), max_retries=5)
        hopeless = jobs.submit("hopeless", AskWithoutPassword(), max_retries=5)
        client.runner(tasks=[AskTheService, AskWithoutPassword], cache=cache).run_all()
        attempts = int(cache.group(str(job.id))["attempts"])
        state = jobs.find(hopeless).state.name
    print(f"the first task succeeded at attempt {attempts}, the job of the second is {state}")
    return attempts, state


if __name__ == "__main__":
    main()
