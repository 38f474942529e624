"""Reading jobs and tasks on every database: states, filters, pages, graphs, and why tasks wait."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from support.store.records import NOW_US

from tilebox.errors import InvalidArgumentError, NotFoundError
from tilebox.server.diagrams.job_diagram import to_d2
from tilebox.server.diagrams.job_graphs import read_graph
from tilebox.server.orchestration.jobs import Jobs
from tilebox.server.orchestration.queued_reasons import QueueExplainer, Reason
from tilebox.server.orchestration.submissions import Submissions
from tilebox.server.rules.task_states import Failure, JobState, TaskState
from tilebox.server.settings import Settings
from tilebox.server.store.work.interface import (
    Claim,
    Limits,
    NewGroup,
    NewJob,
    NewTask,
    ProgressUpdate,
    Report,
    new_ids,
)
from tilebox.server.store.work.jobs import JobFilter

pytestmark = pytest.mark.anyio

RUNNER = b"r" * 16


@dataclass
class Work:
    """A cluster with one queue, and a runner for it."""

    store: object
    team: object
    cluster: int
    queue: int
    now_us: int = NOW_US
    _claims: int = field(default=0)

    async def submit(self, *groups, name="A job", **values) -> bytes:
        self.now_us += 1000
        (job,) = new_ids(1, self.now_us)
        groups = groups or (self.group(1),)
        await self.store.submit_job(
            NewJob(
                id=job,
                team=self.team.id,
                name=name,
                trace_parent="00-trace",
                submitted_us=self.now_us,
                groups=groups,
                **values,
            ),
            virtual_rank=0,
        )
        return job

    def group(self, count, *dependencies, queue=None, **values):
        tasks = [NewTask(queue or self.queue, f"Leaf {number}", b"{}", **values) for number in range(count)]
        return NewGroup(tasks, dependencies)

    async def claim(self, count=1, queue=None):
        self._claims += 1
        result = await self.exchange(
            [],
            Claim(
                queues=[queue or self.queue],
                count=count,
                runner=RUNNER,
                claim=self._claims.to_bytes(16, "big"),
                is_fenced=True,
                lease_us=60_000_000,
            ),
        )
        return result.tasks

    async def exchange(self, reports, claim=None):
        self.now_us += 1_000_000
        return await self.store.exchange(
            self.team.id, reports, claim, now_us=self.now_us, virtual_rank=0, limits=Limits()
        )

    async def compute(self, *tasks, **values):
        await self.exchange([Report(task=task.task, lease=task.lease, **values) for task in tasks])

    async def state(self, job):
        """Return the state of a job, after checking that the record and the database's filter agree."""
        found = await self.store.job(self.team.id, job)
        by_state = [
            state
            for state in JobState
            for listed in await self.store.jobs(self.team.id, JobFilter(states=[state]), latest_first=True, count=100)
            if listed.id == job
        ]
        assert by_state == [found.state]
        return found.state


@pytest.fixture
async def work(store, team):
    cluster = await store.add_cluster(team.id, slug="alps", display_name="Alps", description="", now_us=NOW_US)
    (queue,) = await store.add_queues(cluster.number, [("tasks.Leaf", 1, 3)])
    return Work(store, team, cluster.number, queue.number)


async def test_the_state_of_a_job_is_the_same_in_the_record_and_in_the_database(work):
    job = await work.submit(work.group(2), work.group(1, 0))
    assert await work.state(job) is JobState.SUBMITTED
    (first,) = await work.claim()
    assert await work.state(job) is JobState.RUNNING
    await work.compute(first)
    assert await work.state(job) is JobState.STARTED
    (second,) = await work.claim()
    await work.exchange([Report(task=second.task, lease=second.lease, failure=Failure.TASK, error="no")])
    assert await work.state(job) is JobState.FAILED
    await work.store.retry_job(work.team.id, job, virtual_rank=0)
    await work.store.cancel_job(work.team.id, job)
    assert await work.state(job) is JobState.CANCELED
    await work.store.retry_job(work.team.id, job, virtual_rank=0)
    await work.compute(*await work.claim())
    await work.compute(*await work.claim())
    assert await work.state(job) is JobState.COMPLETED


async def test_a_job_has_counts_times_and_progress(work):
    job = await work.submit(work.group(3))
    tasks = await work.claim(2)
    running = await work.store.job(work.team.id, job)
    assert (running.counts.running, running.counts.queued) == (2, 1)
    assert running.first_started_us == work.now_us
    assert running.last_stopped_us is None
    started_us = work.now_us
    huge = (1 << 62) - 1
    for task in tasks:
        await work.compute(
            task,
            progress=[ProgressUpdate("pixels", huge, huge), ProgressUpdate("tiles", 4, 1)],
            execution_us=250_000,
        )
    found = await work.store.job(work.team.id, job)
    assert [(progress.label, progress.total, progress.done) for progress in found.progress] == [
        ("pixels", 2 * huge, 2 * huge),
        ("tiles", 8, 2),
    ]
    assert found.compute_us == 500_000
    assert found.first_started_us == started_us + 750_000
    assert found.last_stopped_us == work.now_us


async def test_jobs_of_another_team_are_invisible(work, stranger):
    job = await work.submit()
    (task,) = await work.store.root_tasks(job, after=None, count=10)
    assert await work.store.job(stranger.id, job) is None
    assert await work.store.job_brief(stranger.id, job) is None
    assert await work.store.job_clusters(stranger.id, job) == []
    assert await work.store.task(stranger.id, task.id) is None
    assert await work.store.task_state(stranger.id, task.id) is None
    assert await work.store.jobs(stranger.id, JobFilter(), latest_first=True, count=10) == []
    assert await work.store.job_counts(stranger.id, JobFilter()) == {}
    jobs = Jobs(work.store, Submissions(work.store, Settings()))
    for refused in (
        jobs.get(stranger.id, job),
        jobs.cancel(stranger.id, job),
        jobs.retry(stranger.id, job),
        jobs.tasks.page(stranger.id, job, parent=None, after=None, count=1),
        jobs.tasks.prototype(stranger.id, job),
        jobs.clone(stranger.id, job, name="mine", overrides=()),
        jobs.graph(stranger.id, job, 10),
        QueueExplainer(work.store).explain_job(stranger.id, job, limit=1),
    ):
        with pytest.raises(NotFoundError, match="no job"):
            await refused
    own = await jobs.query(work.team.id, JobFilter(), latest_first=True, after=job, count=1)
    assert own == ([], None)
    with pytest.raises(InvalidArgumentError, match="not part of this listing"):
        await jobs.query(stranger.id, JobFilter(), latest_first=True, after=job, count=1)


@pytest.mark.parametrize("latest_first", [True, False])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_pages_of_jobs_contain_every_job_once(work, latest_first, size):
    jobs = Jobs(work.store, Submissions(work.store, Settings()))
    made = [await work.submit(name=f"Job {number}") for number in range(7)]
    seen, after = [], None
    while True:
        page, after = await jobs.query(work.team.id, JobFilter(), latest_first=latest_first, after=after, count=size)
        assert len(page) == min(size, 7 - len(seen))
        seen += [job.id for job in page]
        if after is None:
            break
    assert seen == (made[::-1] if latest_first else made)


async def test_jobs_are_found_by_each_condition_of_the_filter(work, team):
    (other,) = await work.store.add_queues(
        (await work.store.add_cluster(team.id, slug="Rhine", display_name="", description="", now_us=NOW_US)).number,
        [("tasks.Leaf", 1, 0)],
    )
    automation = b"a" * 16
    plain = await work.submit(name="Mosaic of 100% of_it")
    elsewhere = await work.submit(work.group(1, queue=other.number), name="On the Rhine")
    automatic = await work.submit(name="mosaic!", automation=automation)
    canceled = await work.submit(name="Canceled")
    await work.store.cancel_job(team.id, canceled)
    (running,) = await work.claim()

    async def names(**wanted):
        found = await work.store.jobs(team.id, JobFilter(**wanted), latest_first=False, count=100)
        return [job.id for job in found]

    assert await names() == [plain, elsewhere, automatic, canceled]
    assert await names(name="MOSAIC") == [plain, automatic]
    assert await names(name="100%") == [plain]
    assert await names(name="of_i") == [plain]
    assert await names(name="c_o") == []
    assert await names(name="mosaic!") == [automatic]
    assert await names(automations=[automation]) == [automatic]
    assert await names(automations=[b"b" * 16]) == []
    assert await names(automations=[b"b" * 16, automation]) == [automatic]
    assert await names(clusters=["Rhine"]) == [elsewhere]
    assert await names(clusters=["rhine"]) == []
    assert await names(clusters=["Rhine", "alps"]) == [plain, elsewhere, automatic, canceled]
    assert await names(states=[JobState.CANCELED]) == [canceled]
    assert await names(states=[JobState.SUBMITTED, JobState.RUNNING]) == [plain, elsewhere, automatic]
    assert await names(task_states=[TaskState.RUNNING]) == [plain]
    assert await names(task_states=[TaskState.QUEUED]) == [elsewhere, automatic, canceled]
    assert await names(task_states=[TaskState.RUNNING, TaskState.QUEUED]) == [plain, elsewhere, automatic, canceled]
    await work.compute(running)
    assert await names(task_states=[TaskState.COMPUTED]) == [plain]
    second = (await work.store.job(team.id, elsewhere)).submitted_us
    assert await names(start_us=second) == [elsewhere, automatic, canceled]
    assert await names(start_us=second + 1) == [automatic, canceled]
    assert await names(end_us=second) == [plain]
    assert await names(first=automatic) == [automatic, canceled]
    assert await names(last=elsewhere) == [plain, elsewhere]


async def test_jobs_are_counted_by_state(work):
    jobs = Jobs(work.store, Submissions(work.store, Settings()))
    oldest = await work.submit(work.group(3))
    await work.submit()
    await work.store.cancel_job(work.team.id, await work.submit(work.group(5)))
    await work.claim()
    assert await jobs.counts(work.team.id, JobFilter()) == {
        JobState.RUNNING: 1,
        JobState.SUBMITTED: 1,
        JobState.CANCELED: 1,
    }
    backlog = await jobs.backlog(work.team.id, JobFilter())
    assert (backlog.waiting_jobs, backlog.running_jobs, backlog.queued_tasks) == (1, 1, 3)
    assert backlog.oldest_waiting_job.id != oldest
    assert (await jobs.backlog(work.team.id, JobFilter(last=bytes(16)))).oldest_waiting_job is None


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_pages_of_tasks_contain_every_task_once_in_the_order_of_submission(work, size):
    jobs = Jobs(work.store, Submissions(work.store, Settings()))
    job = await work.submit(work.group(2), work.group(3, 0))
    (root, _) = await work.claim(2)
    await work.compute(root, groups=[work.group(4), work.group(1, 0)])

    async def walk(parent):
        seen, after = [], None
        while True:
            page = await jobs.tasks.page(work.team.id, job, parent=parent, after=after, count=size)
            assert len(page.tasks) <= size
            seen += page.tasks
            if not page.has_more:
                return seen
            after = page.tasks[-1].id

    roots, children = await walk(None), await walk(root.task)
    assert [task.display for task in roots] == ["Leaf 0", "Leaf 1", "Leaf 0", "Leaf 1", "Leaf 2"]
    assert [task.display for task in children] == ["Leaf 0", "Leaf 1", "Leaf 2", "Leaf 3", "Leaf 0"]
    assert {task.parent for task in children} == {root.task}
    assert [task.has_children for task in roots] == [task.id == root.task for task in roots]
    page = await jobs.tasks.page(work.team.id, job, parent=None, after=None, count=100)
    (below,) = await jobs.tasks.first_children(page, size)
    assert below.parent == root.task
    assert list(below.tasks) == children[:size]
    assert below.has_more == (size < 5)
    with pytest.raises(InvalidArgumentError, match="not part of this listing"):
        await jobs.tasks.page(work.team.id, job, parent=None, after=children[0].id, count=1)
    with pytest.raises(NotFoundError, match="no task"):
        await jobs.tasks.page(work.team.id, job, parent=b"x" * 16, after=None, count=1)


async def test_a_prototype_is_the_submission_and_a_clone_is_equal(work):
    jobs = Jobs(work.store, Submissions(work.store, Settings()))
    job = await work.submit(work.group(2, max_retries=3), work.group(1, 0), work.group(1, 0, 1), name="First")
    name, tasks = await jobs.tasks.prototype(work.team.id, job)
    assert name == "First"
    assert [list(task.dependencies) for task in tasks] == [[], [], [0, 1], [0, 1, 2]]
    assert [task.max_retries for task in tasks] == [3, 3, 0, 0]
    assert {(task.cluster_slug, task.identifier.name, task.identifier.version) for task in tasks} == {
        ("alps", "tasks.Leaf", "v1.3")
    }
    clone = await jobs.clone(work.team.id, job, name="Second", overrides=())
    assert clone.name == "Second"
    assert await jobs.tasks.prototype(work.team.id, clone.id) == ("Second", tasks)
    smaller = await jobs.clone(work.team.id, job, name="", overrides=tasks[:1])
    assert (smaller.name, smaller.counts.total) == ("First", 1)


async def test_every_reason_to_wait_is_told(work):
    explanations = QueueExplainer(work.store, clock=lambda: work.now_us)

    async def reasons(job):
        return {
            (one.task.display, one.reason): one.sentence
            for one in await explanations.explain_job(work.team.id, job, limit=100)
        }

    async def runner(*identifiers):
        await work.store.record_runner(RUNNER, work.cluster, json.dumps(identifiers), work.now_us)

    job = await work.submit(work.group(1, max_retries=1), work.group(1, 0))
    told = await reasons(job)
    assert told["Leaf 0", Reason.NO_RUNNER] == "no runner is active in cluster alps"
    assert told["Leaf 0", Reason.DEPENDENCIES] == "it waits for 1 task: Leaf 0 (queued)"

    await runner(("tasks.Other", 1, 0))
    assert (await reasons(job))["Leaf 0", Reason.UNKNOWN_TASK] == (
        "no runner of cluster alps has tasks.Leaf; they have tasks.Other"
    )
    for version in ((1, 2), (2, 9)):
        await runner(("tasks.Leaf", *version))
        sentence = (await reasons(job))["Leaf 0", Reason.VERSION_TOO_LOW]
        assert sentence.startswith(
            f"it is tasks.Leaf v1.3, and the runners of cluster alps have tasks.Leaf in v{version[0]}.{version[1]} only"
        )
    await runner(("tasks.Leaf", 1, 4))
    assert ("Leaf 0", Reason.NEXT) in await reasons(job)
    work.now_us += 61_000_000
    assert (await reasons(job))["Leaf 0", Reason.NO_RUNNER].endswith("the last one was seen 61 s ago")

    (task,) = await work.claim()
    assert (await reasons(job)) == {("Leaf 0", Reason.DEPENDENCIES): "it waits for 1 task: Leaf 0 (running)"}
    await work.exchange(
        [
            Report(
                task=task.task,
                lease=task.lease,
                failure=Failure.TASK,
                error="no tile\nTraceback",
                retry_after_us=600_000_000,
            )
        ]
    )
    assert (await reasons(job))["Leaf 0", Reason.RETRY_DELAY] == (
        "it failed, and its next attempt starts in 10 min: no tile"
    )
    await work.store.cancel_job(work.team.id, job)
    told = await reasons(job)
    assert {reason for _, reason in told} == {Reason.JOB_STOPPED}
    assert set(told.values()) == {"its job was canceled; retry the job to continue it"}


async def test_a_runner_that_is_busy_for_long_is_there(work):
    explanations = QueueExplainer(work.store, clock=lambda: work.now_us)
    job = await work.submit(work.group(2))
    await work.store.record_runner(RUNNER, work.cluster, json.dumps([("tasks.Leaf", 1, 3)]), work.now_us)
    await work.claim()
    work.now_us += 3_600_000_000
    (told,) = await explanations.explain_job(work.team.id, job, limit=100)
    assert told.reason is Reason.NEXT


async def test_of_many_blocking_tasks_five_are_named(work):
    job = await work.submit(work.group(7), work.group(1, 0), work.group(1, 0, 1))
    explained = await QueueExplainer(work.store).explain_job(work.team.id, job, limit=100)
    first, second = explained[-2:]
    assert first.sentence == (
        "it waits for 7 tasks: Leaf 0 (queued), Leaf 1 (queued), Leaf 2 (queued), Leaf 3 (queued), Leaf 4 (queued) "
        "and 2 more"
    )
    assert list(first.waits_for) == [explanation.task.id for explanation in explained[:5]]
    assert second.sentence.startswith("it waits for 8 tasks: ")
    assert len(await QueueExplainer(work.store).explain_job(work.team.id, job, limit=3)) == 3


@pytest.mark.parametrize("max_tasks", [4, 8, 200])
async def test_a_graph_counts_every_task_however_many_it_lists(work, max_tasks):
    job = await work.submit(work.group(1), work.group(3, 0), name="A diagram")
    (root,) = await work.claim()
    await work.compute(root, groups=[work.group(20), work.group(5, 0)])
    failing, *_ = await work.claim(3)
    await work.exchange([Report(task=failing.task, lease=failing.lease, failure=Failure.TASK, error="no")])
    found = await work.store.job(work.team.id, job)
    graph = await read_graph(work.store, found, max_tasks)
    assert len(graph.groups) == 4
    assert sum(count.count for group in graph.groups for count in group.counts) == 29
    assert [group.depends_on for group in graph.groups] == [(), (0,), (), (2,)]
    assert [group.parent_group for group in graph.groups] == [None, None, 0, 0]
    assert not graph.rest
    assert (len(graph.tasks) == 29) == (max_tasks == 200)
    shown = [task for task in graph.tasks if task.id.bytes == failing.task]
    assert [task.state for task in shown] == [TaskState.FAILED]
    assert "tasks.Leaf" in to_d2(graph, max_tasks=max_tasks) or "Leaf" in to_d2(graph, max_tasks=max_tasks)


async def test_groups_beyond_the_limit_are_counted(work, monkeypatch):
    monkeypatch.setattr("tilebox.server.diagrams.job_graphs.MAX_GROUPS", 2)
    job = await work.submit(work.group(1), work.group(3, 0), work.group(4, 1), work.group(5, 2))
    graph = await read_graph(work.store, await work.store.job(work.team.id, job), 4)
    assert len(graph.groups) == 2
    assert [(count.identifier, count.state, count.count) for count in graph.rest] == [
        ("tasks.Leaf", TaskState.QUEUED, 9)
    ]
    assert to_d2(graph, max_tasks=4)
