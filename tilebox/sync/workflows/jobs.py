# Generated from tilebox/aio/workflows/jobs.py by scripts/unasync.py; do not edit.
"""The client for jobs."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from tilebox._core.jobs import arguments, workflow_calls
from tilebox._core.jobs.job import Job, JobList, QueuedTask, QueueStats, TaskList, failure, in_tree_order, job_html
from tilebox._core.jobs.states import JobState, TaskState, job_state
from tilebox._core.jobs.task_pages import TaskWalk
from tilebox._core.jobs.watching import JobWatch
from tilebox._core.wire.pages import Pages
from tilebox._io.concurrency.sync import gather_map, sleep
from tilebox._io.progress import display
from tilebox._io.progress.jobs import JobProgress
from tilebox.sync.workflows.submitting import find_submitted, submission_trace
from tilebox.errors import APIError, ServerError, TileboxError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from uuid import UUID

    from tilebox._core.jobs.job import ClusterLike, TaskSummary
    from tilebox._core.protocol.workflows.v1 import job_pb2
    from tilebox._core.tasks.task import Task
    from tilebox._core.values.intervals import TimeIntervalLike
    from tilebox.sync.transport import Transport

_log = logging.getLogger("tilebox.workflows")

_MAX_CONCURRENT_REQUESTS = 8
# One more than an error message lists, so that it can tell that there are others.
_MAX_FAILED_TASKS = 11
_MAX_EXPLAINED_TASKS = 20


class JobClient:
    """A client for jobs. `Client.jobs` returns it.

    Every method with a job as its argument accepts the job's id too, as a UUID or a string.

    Args:
        transport: The connection to the server.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        job_name: str | Task | Iterable[Task],
        root_task_or_tasks: Task | Iterable[Task] | None = None,
        cluster: ClusterLike | Iterable[ClusterLike] | None = None,
        max_retries: int = 0,
    ) -> Job:
        """Submit a job.

        The job is submitted at most once. If the response is lost, the client looks for the job by its unique trace
        parent, and raises an error only if it does not find the job. A note of the error says so.

        Args:
            job_name: The name of the job. It may be omitted, so that the tasks are the first argument; the name is
                then that of the first task's class.
            root_task_or_tasks: The root task, or several, which may run at the same time.
            cluster: The cluster that executes the root tasks, or its slug; or a list with one cluster per task. By
                default the default cluster.
            max_retries: The number of times that each root task is retried after a failed attempt.

        Returns:
            The submitted job.

        Raises:
            TypeError: An argument is not a task, or is a task class rather than a task.
            ValueError: There is no task, the number of clusters differs from that of tasks, the name is empty, or
                `max_retries` is out of range.
            NotFoundError: A cluster does not exist.
            InvalidArgumentError: The inputs of a task are larger than the server allows.
        """
        name, tasks = arguments.submission(job_name, root_task_or_tasks, cluster, max_retries)
        with submission_trace(name) as trace_parent:
            try:
                answer = self._transport.call(workflow_calls.submit_job(name, tasks, trace_parent))
            except TransportError as error:
                submitted = find_submitted(self._transport, name, trace_parent, error)
                if submitted is None:
                    raise
                answer = submitted
        return Job.from_wire(answer)

    def find(self, job_or_id: Job | UUID | str) -> Job:
        """Get the current state of a job.

        Args:
            job_or_id: The job or its id.

        Returns:
            The job.

        Raises:
            NotFoundError: The job does not exist.
            ValueError: The id is not a UUID.
        """
        answer = self._transport.call(workflow_calls.get_job(arguments.job_id(job_or_id)))
        return Job.from_wire(answer)

    def query(
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
        """Query jobs. Arguments that are None do not filter.

        Args:
            temporal_extent: The time or interval of submission.
            automation_ids: The ids of the automations that submitted the jobs.
            job_states: The states of the jobs.
            name: The name of the jobs, at most 100 characters.
            task_states: States in which the jobs have at least one task.
            clusters: Clusters on which the jobs have tasks.
            limit: The largest number of jobs; by default all.

        Returns:
            The jobs, latest first, as a list that prints as a table.

        Raises:
            ValueError: A state does not exist, an id is not a UUID, or the interval is malformed.
        """
        filters = arguments.job_filters(temporal_extent, automation_ids, job_states, name, task_states, clusters)
        pages = Pages(limit=arguments.count(limit), order="descending")
        jobs = JobList()
        while (page := pages.next_request()) is not None:
            answer = self._transport.call(workflow_calls.query_jobs(filters, page))
            wanted = pages.feed(len(answer.jobs), answer.next_page)
            jobs += map(Job.from_wire, answer.jobs[:wanted])
        return jobs

    def cancel(self, job_or_id: Job | UUID | str) -> None:
        """Cancel a job. Its queued tasks will not run, including those that running tasks still submit.

        Tasks that are already running finish. `retry` resumes the job.

        Args:
            job_or_id: The job or its id.

        Raises:
            NotFoundError: The job does not exist.
        """
        self._transport.call(workflow_calls.cancel_job(arguments.job_id(job_or_id)))

    def retry(self, job_or_id: Job | UUID | str) -> int:
        """Retry a job that failed or was cancelled. Failed tasks are queued again; computed tasks are not repeated.

        Args:
            job_or_id: The job or its id.

        Returns:
            The number of tasks that were queued again.

        Raises:
            NotFoundError: The job does not exist.
        """
        answer = self._transport.call(workflow_calls.retry_job(arguments.job_id(job_or_id)))
        return answer.num_tasks_rescheduled

    def visualize(
        self, job_or_id: Job | UUID | str, direction: str = "down", layout: str = "dagre", sketchy: bool = True
    ) -> str:
        """Render a job as a diagram of its tasks, coloured by their states.

        Args:
            job_or_id: The job or its id.
            direction: The direction of the diagram: `down`, `up`, `right` or `left`.
            layout: The layout engine: `dagre` or `elk`.
            sketchy: Whether the diagram looks hand-drawn.

        Returns:
            The diagram as SVG.

        Raises:
            ValueError: The direction or the layout does not exist.
            NotFoundError: The job does not exist.
            InvalidArgumentError: The job has more tasks than the server can render.
        """
        identity = arguments.job_id(job_or_id)
        call = workflow_calls.visualize_job(identity, direction=direction, layout=layout, sketchy=sketchy)
        return (self._transport.call(call)).svg.decode()

    def display(
        self, job_or_id: Job | UUID | str, direction: str = "down", layout: str = "dagre", sketchy: bool = True
    ) -> None:
        """Show the state, the progress and the diagram of a job in a notebook. Elsewhere, print the job and its tasks.

        Args:
            job_or_id: The job or its id.
            direction: The direction of the diagram: `down`, `up`, `right` or `left`.
            layout: The layout engine: `dagre` or `elk`.
            sketchy: Whether the diagram looks hand-drawn.

        Raises:
            ValueError: The direction or the layout does not exist.
            NotFoundError: The job does not exist.
        """
        identity = arguments.job_id(job_or_id)
        call = workflow_calls.visualize_job(identity, direction=direction, layout=layout, sketchy=sketchy)
        job = self.find(identity)
        if display.in_notebook():
            diagram = self._transport.call(call)
            display.show_html(job_html(job, diagram.svg.decode()))
        else:
            tasks = self.tasks(identity)
            advice = 'To see the diagram, use a notebook, or save it: Path("job.svg").write_text(jobs.visualize(job))'
            display.show_text(f"{job}\n{tasks}\n{advice}")

    def tasks(self, job_or_id: Job | UUID | str, *, limit: int | None = None) -> TaskList:
        """List the tasks of a job.

        Args:
            job_or_id: The job or its id.
            limit: The largest number of tasks; those nearest to the roots come first. By default all.

        Returns:
            The tasks, each followed by its subtasks, as a list that prints as a tree.

        Raises:
            NotFoundError: The job does not exist.
        """
        walk = TaskWalk(arguments.job_id(job_or_id), arguments.count(limit))
        while self._step(walk):
            pass
        return in_tree_order(walk.tasks)

    def queued(self, job_or_id: Job | UUID | str, *, limit: int = 100) -> list[QueuedTask]:
        """Explain why tasks of a job are queued, for example because of a dependency or a missing runner.

        Args:
            job_or_id: The job or its id.
            limit: The largest number of tasks.

        Returns:
            Queued tasks, each with its reason.

        Raises:
            NotFoundError: The job does not exist.
            ServerError: The server does not offer the extension `runners/1`, which has the reasons.
        """
        call = workflow_calls.explain_job(arguments.job_id(job_or_id), arguments.count(limit) or 0)
        try:
            answer = self._transport.call(call)
        except APIError as error:
            if error.code != "unimplemented":
                raise
            raise ServerError(
                f"the server at {self._transport.config.url} cannot tell why tasks are queued, because it does not offer "
                f"the extension {workflow_calls.EXTENSION}; call jobs.tasks(job) to list tasks with their states",
                code=error.code,
                request_id=error.request_id,
            ) from None
        return list(map(QueuedTask.from_wire, answer.tasks))

    def wait(
        self,
        job_or_id: Job | UUID | str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 the job continues, so there is nothing to cancel
        show_progress: bool | Callable[[float], object] = True,
        raise_on_failure: bool = False,
    ) -> Job:
        """Wait until a job ends. A warning is logged if its tasks need a runner that does not exist.

        Args:
            job_or_id: The job or its id.
            timeout: The longest time to wait, in seconds; by default there is no limit.
            show_progress: Whether to show a progress bar; or a function that is called with the finished fraction,
                from 0 to 1.
            raise_on_failure: Whether to raise an error if the job failed or was cancelled.

        Returns:
            The job after its end, whose `state` is completed, failed or cancelled.

        Raises:
            NotFoundError: The job does not exist.
            JobTimeoutError: The job has not ended within the timeout. It continues.
            JobFailedError: The job failed or was cancelled, and `raise_on_failure` is true.
        """
        identity = arguments.job_id(job_or_id)
        seconds = arguments.seconds(timeout)
        job = self.find(identity)
        with JobProgress(show_progress, title=f"Job {job.name}") as bar:
            bar.update(job)
            watch = JobWatch(job, seconds, monotonic())
            while not watch.job.state.has_ended:
                watch.note(self._poll(watch))
                bar.update(watch.job)
                for reason in self._runner_warnings(watch):
                    bar.warn(reason)
        if raise_on_failure and watch.job.state is not JobState.COMPLETED:
            raise failure(watch.job, self._failed_tasks(watch.job))
        return watch.job

    def clone(
        self, job_or_id: Job | UUID | str, job_name: str | None = None, *, cluster: ClusterLike | None = None
    ) -> Job:
        """Submit a job again, with the same root tasks and inputs.

        Args:
            job_or_id: The job or its id.
            job_name: The name of the new job; by default that of the old one.
            cluster: The cluster that executes the root tasks; by default the same clusters.

        Returns:
            The new job.

        Raises:
            NotFoundError: The job or the cluster does not exist.
        """
        identity = arguments.job_id(job_or_id)
        name = None if job_name is None else arguments.text(job_name, "job_name")
        slug = None if cluster is None else arguments.slug(cluster)
        prototype = self._transport.call(workflow_calls.get_job_prototype(identity))
        call = workflow_calls.clone_job(identity, prototype, name=name, cluster=slug)
        return Job.from_wire(self._transport.call(call))

    def state_counts(self, temporal_extent: TimeIntervalLike | None = None) -> dict[JobState, int]:
        """Count the jobs in each state.

        Args:
            temporal_extent: The time or interval of submission; by default all times.

        Returns:
            The number of jobs by state.
        """
        call = workflow_calls.count_jobs_by_state(arguments.interval(temporal_extent))
        answer = self._transport.call(call)
        return {job_state(entry.state): entry.count for entry in answer.state_counts}

    def queue_stats(
        self, temporal_extent: TimeIntervalLike | None = None, *, max_age: timedelta | None = None
    ) -> QueueStats:
        """Get statistics of the queue: waiting and running jobs, and queued tasks.

        Args:
            temporal_extent: The time or interval of submission of the jobs; by default all times.
            max_age: The largest age of the jobs since their submission.

        Returns:
            The statistics.
        """
        call = workflow_calls.get_queue_stats(arguments.interval(temporal_extent), max_age)
        return QueueStats.from_wire(self._transport.call(call))

    def _poll(self, watch: JobWatch) -> Job:
        identity = watch.job.id
        if self._transport.offers(workflow_calls.EXTENSION):
            seconds = watch.next_hold(monotonic())
            call = workflow_calls.await_job(identity, seconds=seconds, computed_at_least=watch.computed_at_least)
            job = Job.from_wire(self._transport.call(call))
            if watch.is_early(job, monotonic()):
                sleep(watch.next_pause(monotonic()))
            return job
        sleep(watch.next_pause(monotonic()))
        return self.find(identity)

    def _runner_warnings(self, watch: JobWatch) -> list[str]:
        """Return new warnings about tasks that no runner can execute; none if the server cannot tell."""
        if not watch.is_idle or not self._transport.offers(workflow_calls.EXTENSION):
            return []
        try:
            return watch.new_warnings(self.queued(watch.job, limit=_MAX_EXPLAINED_TASKS))
        except APIError as error:
            _log.debug("no reasons why tasks of job %s are queued: %s", watch.job.id, error)
            return []

    def _failed_tasks(self, job: Job) -> list[TaskSummary]:
        """Return some failed tasks of a failed job; none if the server cannot list them."""
        if job.state is not JobState.FAILED:
            return []
        walk = TaskWalk(job.id)
        failed: list[TaskSummary] = []
        try:
            while len(failed) < _MAX_FAILED_TASKS and self._step(walk):
                failed = [task for task in walk.tasks if task.state is TaskState.FAILED]
        except TileboxError as error:
            # The error of the job must be raised even without the names of its tasks.
            _log.debug("the tasks of job %s cannot be listed: %s", job.id, error)
        return failed

    def _step(self, walk: TaskWalk) -> bool:
        """Load the next level of tasks; return whether there was one."""
        requests = walk.next_requests()
        if not requests:
            return False
        limit = min(len(requests), _MAX_CONCURRENT_REQUESTS)
        for request, answer in zip(requests, gather_map(self._list_tasks, requests, limit=limit), strict=True):
            walk.feed(request, answer)
        return True

    def _list_tasks(self, request: job_pb2.ListJobTasksRequest) -> job_pb2.ListJobTasksResponse:
        return self._transport.call(workflow_calls.list_job_tasks(request))
