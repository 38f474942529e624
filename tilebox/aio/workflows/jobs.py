# Source of tilebox/sync/workflows/jobs.py, which scripts/unasync.py writes.
"""The client of jobs."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from random import SystemRandom
from time import monotonic
from typing import TYPE_CHECKING, Any

from tilebox._core.jobs import arguments, workflow_calls
from tilebox._core.jobs.job import Job, JobList, QueuedTask, QueueStats, TaskList, failure, in_tree_order, job_html
from tilebox._core.jobs.states import JobState, TaskState, job_state
from tilebox._core.jobs.task_pages import TaskWalk
from tilebox._core.jobs.watching import JobWatch
from tilebox._core.wire.pages import Pages
from tilebox._io.concurrency.aio import gather_map, sleep
from tilebox._io.http.errors import was_sent
from tilebox._io.progress import display
from tilebox._io.progress.jobs import JobProgress
from tilebox.errors import APIError, ServerError, TileboxError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from uuid import UUID

    from tilebox._core.jobs.job import ClusterLike, TaskSummary
    from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2
    from tilebox._core.tasks.task import Task
    from tilebox._core.values.intervals import TimeIntervalLike
    from tilebox.aio.transport import Transport

_log = logging.getLogger("tilebox.workflows")

_TRACER = "tilebox.com/observability"
_REQUESTS_AT_ONCE = 8
_MAX_FAILED_TASKS = 11
_MAX_EXPLAINED = 20


class JobClient:
    """Submits jobs, looks at them, waits for them, cancels and retries them; made by `Client.jobs`.

    Wherever a job is asked for, its id will do, as a UUID or its text.

    Args:
        transport: The way to the server.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def submit(
        self,
        job_name: str | Task | Iterable[Task],
        root_task_or_tasks: Task | Iterable[Task] | None = None,
        cluster: ClusterLike | Iterable[ClusterLike] | None = None,
        max_retries: int = 0,
    ) -> Job:
        """Submit a job.

        It is sent once. If the answer is lost on its way, the job is looked for by its trace parent, which no other
        job has; only if it cannot be found is an error raised, whose note says so.

        Args:
            job_name: Its name. May be left out, in front of the tasks; it is then the class name of the first one.
            root_task_or_tasks: The task to execute first, or several, which may run at the same time.
            cluster: The cluster to execute them on, or its slug; or one for each task. By default the default cluster.
            max_retries: How many times each of them is tried again if it fails.

        Returns:
            The job as it was accepted.

        Raises:
            TypeError: What is given is no task, or is a task class.
            ValueError: There is no task, there is not one cluster for each task, or a number or name makes no sense.
            NotFoundError: There is no such cluster.
            InvalidArgumentError: The arguments of a task are longer than the server takes.
        """
        name, tasks = arguments.submission(job_name, root_task_or_tasks, cluster, max_retries)
        with _submitting(name) as trace_parent:
            try:
                answer = await self._transport.call(workflow_calls.submit_job(name, tasks, trace_parent))
            except TransportError as error:
                found = await self._accepted(name, trace_parent, error) if was_sent(error) else None
                if found is None:
                    raise
                answer = found
        return Job.from_wire(answer)

    async def find(self, job_or_id: Job | UUID | str) -> Job:
        """Get a job as it is now.

        Args:
            job_or_id: The job or its id.

        Raises:
            NotFoundError: There is none of that id.
            ValueError: The id is no UUID.
        """
        answer = await self._transport.call(workflow_calls.get_job(arguments.job_id(job_or_id)))
        return Job.from_wire(answer)

    async def query(
        self,
        temporal_extent: TimeIntervalLike | None = None,
        automation_ids: UUID | str | Iterable[UUID | str] | None = None,
        job_states: JobState | str | Iterable[JobState | str] | None = None,
        name: str | None = None,
        task_states: TaskState | str | Iterable[TaskState | str] | None = None,
        clusters: ClusterLike | Iterable[ClusterLike] | None = None,
        *,
        limit: int | None = None,
    ) -> JobList:
        """Look for jobs; what is not given does not matter.

        Args:
            temporal_extent: When they were submitted.
            automation_ids: The automations that submitted them.
            job_states: How far they are.
            name: Their name.
            task_states: States of which they have at least one task.
            clusters: Clusters for which they have tasks.
            limit: How many at most; by default all.

        Returns:
            The jobs, from the latest to the earliest: a list that prints as a table.

        Raises:
            ValueError: A state or id is none.
        """
        filters = arguments.job_filters(temporal_extent, automation_ids, job_states, name, task_states, clusters)
        pages = Pages(limit=arguments.count(limit), order="descending")
        found = JobList()
        while (page := pages.next_request()) is not None:
            answer = await self._transport.call(workflow_calls.query_jobs(filters, page))
            wanted = pages.feed(len(answer.jobs), answer.next_page)
            found += map(Job.from_wire, answer.jobs[:wanted])
        return found

    async def cancel(self, job_or_id: Job | UUID | str) -> None:
        """Cancel a job: its queued tasks are left alone, also those that running tasks still submit.

        Tasks that are running finish. `retry` lets the job go on.

        Args:
            job_or_id: The job or its id.

        Raises:
            NotFoundError: There is none of that id.
        """
        await self._transport.call(workflow_calls.cancel_job(arguments.job_id(job_or_id)))

    async def retry(self, job_or_id: Job | UUID | str) -> int:
        """Let a job that failed or was cancelled go on: its failed tasks are queued again, what is computed stays.

        Args:
            job_or_id: The job or its id.

        Returns:
            The number of tasks that were queued again.

        Raises:
            NotFoundError: There is none of that id.
        """
        answer = await self._transport.call(workflow_calls.retry_job(arguments.job_id(job_or_id)))
        return answer.num_tasks_rescheduled

    async def visualize(
        self, job_or_id: Job | UUID | str, direction: str = "down", layout: str = "dagre", sketchy: bool = True
    ) -> str:
        """Draw a job as a diagram of its tasks, coloured by their states.

        Args:
            job_or_id: The job or its id.
            direction: Where it flows: `down`, `up`, `right` or `left`.
            layout: How tasks are arranged: `dagre` or `elk`.
            sketchy: Whether it looks drawn by hand.

        Returns:
            The diagram as SVG.

        Raises:
            ValueError: There is no such direction or layout.
            NotFoundError: There is no job of that id.
            InvalidArgumentError: The job has more tasks than the server draws.
        """
        identity = arguments.job_id(job_or_id)
        call = workflow_calls.visualize_job(identity, direction=direction, layout=layout, sketchy=sketchy)
        return (await self._transport.call(call)).svg.decode()

    async def display(
        self, job_or_id: Job | UUID | str, direction: str = "down", layout: str = "dagre", sketchy: bool = True
    ) -> None:
        """Show a job in a notebook: its state, its progress and its diagram. Elsewhere, print its tasks.

        Args:
            job_or_id: The job or its id.
            direction: Where the diagram flows: `down`, `up`, `right` or `left`.
            layout: How tasks are arranged: `dagre` or `elk`.
            sketchy: Whether the diagram looks drawn by hand.

        Raises:
            ValueError: There is no such direction or layout.
            NotFoundError: There is no job of that id.
        """
        identity = arguments.job_id(job_or_id)
        call = workflow_calls.visualize_job(identity, direction=direction, layout=layout, sketchy=sketchy)
        job = await self.find(identity)
        if display.in_notebook():
            diagram = await self._transport.call(call)
            display.show_html(job_html(job, diagram.svg.decode()))
        else:
            tasks = await self.tasks(identity)
            advice = 'The diagram shows in a notebook; here, save it: Path("job.svg").write_text(jobs.visualize(job))'
            display.show_text(f"{job}\n{tasks}\n{advice}")

    async def tasks(self, job_or_id: Job | UUID | str, *, limit: int | None = None) -> TaskList:
        """List the tasks of a job.

        Args:
            job_or_id: The job or its id.
            limit: How many at most, those nearest to the roots; by default all.

        Returns:
            The tasks, each followed by its subtasks: a list that prints as a tree.

        Raises:
            NotFoundError: There is no job of that id.
        """
        walk = TaskWalk(arguments.job_id(job_or_id), arguments.count(limit))
        while await self._step(walk):
            pass
        return in_tree_order(walk.tasks)

    async def queued(self, job_or_id: Job | UUID | str, *, limit: int = 100) -> list[QueuedTask]:
        """Tell why tasks of a job are still queued: what they wait for, or which runner is missing.

        Args:
            job_or_id: The job or its id.
            limit: How many tasks at most.

        Raises:
            NotFoundError: There is no job of that id.
            ServerError: The server cannot tell, since it does not offer the extension `runners/1`.
        """
        call = workflow_calls.explain_job(arguments.job_id(job_or_id), arguments.count(limit) or 0)
        try:
            answer = await self._transport.call(call)
        except APIError as error:
            if error.code != "unimplemented":
                raise
            raise ServerError(
                f"the server at {self._transport.config.url} cannot tell why tasks are queued, since it does not offer "
                f"the extension {workflow_calls.EXTENSION}; jobs.tasks(job) lists tasks with their states",
                code=error.code,
                request_id=error.request_id,
            ) from None
        return list(map(QueuedTask.from_wire, answer.tasks))

    async def wait(
        self,
        job_or_id: Job | UUID | str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 the job goes on, so nothing is to be cancelled
        show_progress: bool | Callable[[float], object] = True,
        raise_on_failure: bool = False,
    ) -> Job:
        """Wait until a job ends. If tasks of it need a runner that is not there, a warning is logged.

        Args:
            job_or_id: The job or its id.
            timeout: How many seconds to wait at most; by default as long as it takes.
            show_progress: Whether to show a progress bar; or a function that is told the finished fraction.
            raise_on_failure: Whether to raise an error if the job failed or was cancelled.

        Returns:
            The job as it ended; `job.state` tells how.

        Raises:
            NotFoundError: There is no job of that id.
            JobTimeoutError: It has not ended in time.
            JobFailedError: It failed or was cancelled, and `raise_on_failure` is set.
        """
        identity = arguments.job_id(job_or_id)
        seconds = arguments.seconds(timeout)
        job = await self.find(identity)
        with JobProgress(show_progress, title=f"Job {job.name}") as bar:
            bar.reach(job)
            watch = JobWatch(job, seconds, monotonic())
            while not watch.job.state.has_ended:
                watch.note(await self._next_look(watch))
                bar.reach(watch.job)
                for reason in await self._missing_runners(watch):
                    bar.say(reason)
        if raise_on_failure and watch.job.state is not JobState.COMPLETED:
            raise failure(watch.job, await self._failed_tasks(watch.job))
        return watch.job

    async def clone(
        self, job_or_id: Job | UUID | str, job_name: str | None = None, *, cluster: ClusterLike | None = None
    ) -> Job:
        """Submit a job again, with the same root tasks and the same arguments.

        Args:
            job_or_id: The job or its id.
            job_name: The name of the new one; by default the same.
            cluster: The cluster to execute its root tasks on; by default the same ones.

        Returns:
            The new job.

        Raises:
            NotFoundError: There is no job of that id, or no such cluster.
        """
        identity = arguments.job_id(job_or_id)
        name = None if job_name is None else arguments.text(job_name, "job_name")
        slug = None if cluster is None else arguments.slug(cluster)
        prototype = await self._transport.call(workflow_calls.get_job_prototype(identity))
        call = workflow_calls.clone_job(identity, prototype, name=name, cluster=slug)
        return Job.from_wire(await self._transport.call(call))

    async def state_counts(self, temporal_extent: TimeIntervalLike | None = None) -> dict[JobState, int]:
        """Count jobs by their state.

        Args:
            temporal_extent: When they were submitted; by default ever.
        """
        call = workflow_calls.count_jobs_by_state(arguments.interval(temporal_extent))
        answer = await self._transport.call(call)
        return {job_state(one.state): one.count for one in answer.state_counts}

    async def queue_stats(
        self, temporal_extent: TimeIntervalLike | None = None, *, max_age: timedelta | None = None
    ) -> QueueStats:
        """Tell how much work waits.

        Args:
            temporal_extent: When the jobs were submitted; by default ever.
            max_age: How long ago they were submitted at most.
        """
        call = workflow_calls.get_queue_stats(arguments.interval(temporal_extent), max_age)
        return QueueStats.from_wire(await self._transport.call(call))

    async def _accepted(self, name: str, trace_parent: str, error: TransportError) -> core_pb2.Job | None:
        """Find a job whose submission got no answer; where there is none, the error says what that means."""
        filters = arguments.job_filters(None, None, None, name[: arguments.MAX_NAME], None, None)
        try:
            answer = await self._transport.call(workflow_calls.query_jobs(filters))
        except TileboxError as second:
            error.add_note(f"whether the job was submitted cannot be told: {second}")
            return None
        for message in answer.jobs:
            if message.trace_parent == trace_parent:
                return message
        error.add_note(
            f"the job is not there; before you submit it again, make sure that it has not arrived late: "
            f"jobs.query(name={name!r})"
        )
        return None

    async def _next_look(self, watch: JobWatch) -> Job:
        identity = watch.job.id
        if self._transport.offers(workflow_calls.EXTENSION):
            seconds = watch.next_hold(monotonic())
            call = workflow_calls.await_job(identity, seconds=seconds, computed_at_least=watch.computed_at_least)
            job = Job.from_wire(await self._transport.call(call))
            if watch.is_early(job, monotonic()):
                await sleep(watch.next_pause(monotonic()))
            return job
        await sleep(watch.next_pause(monotonic()))
        return await self.find(identity)

    async def _missing_runners(self, watch: JobWatch) -> list[str]:
        """Return what to tell about tasks that no runner takes; nothing if the server cannot say."""
        if not watch.is_idle or not self._transport.offers(workflow_calls.EXTENSION):
            return []
        try:
            return watch.new_warnings(await self.queued(watch.job, limit=_MAX_EXPLAINED))
        except APIError as error:
            _log.debug("no reasons why tasks of job %s are queued: %s", watch.job.id, error)
            return []

    async def _failed_tasks(self, job: Job) -> list[TaskSummary]:
        """Return some tasks that failed; nothing for a job without any, or if the server does not list them."""
        if job.state is not JobState.FAILED:
            return []
        walk = TaskWalk(job.id)
        failed: list[TaskSummary] = []
        try:
            while len(failed) < _MAX_FAILED_TASKS and await self._step(walk):
                failed = [task for task in walk.tasks if task.state is TaskState.FAILED]
        except TileboxError as error:
            # That the job failed is worth more than the names of its tasks.
            _log.debug("the tasks of job %s cannot be listed: %s", job.id, error)
        return failed

    async def _step(self, walk: TaskWalk) -> bool:
        """Walk on by one level; tell whether there was one."""
        requests = walk.next_requests()
        if not requests:
            return False
        at_once = min(len(requests), _REQUESTS_AT_ONCE)
        for request, answer in zip(requests, await gather_map(self._list_tasks, requests, limit=at_once), strict=True):
            walk.feed(request, answer)
        return True

    async def _list_tasks(self, request: job_pb2.ListJobTasksRequest) -> job_pb2.ListJobTasksResponse:
        return await self._transport.call(workflow_calls.list_job_tasks(request))


@contextmanager
def _submitting(job_name: str) -> Iterator[str]:
    """Give a trace parent that no other job has: that of a span, if somebody records spans."""
    random = SystemRandom()
    # Only a program that has imported it can have set it up.
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield arguments.make_trace_parent(random)
        return
    with trace.get_tracer(_TRACER).start_as_current_span(f"job/{job_name}") as span:
        context = span.get_span_context()
        if span.is_recording():
            yield f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        elif context.is_valid:
            yield arguments.make_trace_parent(random, trace_id=context.trace_id, flags=context.trace_flags)
        else:
            yield arguments.make_trace_parent(random)
