"""What the orchestrator has to do, told once more and as plainly as possible: nothing is counted, all is looked up.

It knows tasks by a label. Where the store may choose, which is only in what it hands out first, the model is told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tilebox.server.rules.task_states import JobState, TaskState, Verdict

QUEUED, RUNNING, COMPUTED, FAILED, SKIPPED, FAILED_OPTIONAL = TaskState
ENDED_WELL = {COMPUTED, SKIPPED, FAILED_OPTIONAL}
CRASHES = {"crashed", "expired"}


@dataclass(eq=False)
class ModelJob:
    groups: list[ModelGroup] = field(default_factory=list)
    is_canceled: bool = False
    was_tried: bool = False

    @property
    def tasks(self):
        return [task for group in self.groups for task in _with_descendants(group)]

    @property
    def is_live(self):
        return not self.is_canceled and all(task.state is not FAILED for task in self.tasks)

    @property
    def is_completed(self):
        return all(group.is_completed for group in self.groups)

    @property
    def state(self):
        states = {task.state for task in self.tasks}
        if FAILED in states:
            return JobState.FAILED
        if self.is_completed:
            return JobState.COMPLETED
        if self.is_canceled:
            return JobState.CANCELED
        if RUNNING in states:
            return JobState.RUNNING
        return JobState.STARTED if self.was_tried or states & ENDED_WELL else JobState.SUBMITTED


@dataclass(eq=False)
class ModelGroup:
    job: ModelJob
    parent: ModelTask | None
    dependencies: list[ModelGroup]
    tasks: list[ModelTask] = field(default_factory=list)

    @property
    def is_completed(self):
        return all(task.is_completed for task in self.tasks)


@dataclass(eq=False)
class ModelTask:
    label: str
    group: ModelGroup
    queue: int
    max_retries: int
    is_optional: bool
    state: TaskState = QUEUED
    groups: list[ModelGroup] = field(default_factory=list)
    is_abandoned: bool = False
    retries: int = 0
    crashes: int = 0
    lease: int = 0
    is_fenced: bool = False
    until_us: int | None = None
    claim: bytes | None = None
    wake_us: int | None = None

    @property
    def is_completed(self):
        return self.state in ENDED_WELL and all(group.is_completed for group in self.groups)

    @property
    def can_start(self):
        waits = self.wake_us is not None or not all(group.is_completed for group in self.group.dependencies)
        return self.state is QUEUED and self.group.job.is_live and not waits

    @property
    def excuse(self):
        """The nearest optional task at or above this one."""
        if self.is_optional or self.group.parent is None:
            return self if self.is_optional else None
        return self.group.parent.excuse


def _with_descendants(group):
    for task in group.tasks:
        yield task
        for below in task.groups:
            yield from _with_descendants(below)


class Model:
    """Jobs and tasks.

    Args:
        max_crashes: How many crashes of a task are put down to bad luck.
    """

    def __init__(self, max_crashes):
        self.max_crashes = max_crashes
        self.jobs: dict[bytes, ModelJob] = {}
        self.tasks: dict[str, ModelTask] = {}
        self.computed = Counter()

    def submit(self, identity, groups):
        self.jobs[identity] = job = ModelJob()
        job.groups = self._add(job, None, groups)

    def startable(self, queues):
        return {task.label for task in self.tasks.values() if task.queue in queues and task.can_start}

    def claim(self, label, claim, until_us, *, is_fenced):
        task = self.tasks[label]
        assert task.can_start, f"{label} was handed out, but must wait"
        task.state, task.lease, task.claim = RUNNING, task.lease + 1, claim
        task.is_fenced, task.until_us = is_fenced, until_us

    def report(self, reports, now_us):
        """Carry out reports of one request: (label, lease, kind, groups, retry_after_us); returns verdicts."""
        settled, verdicts = set(), []
        for label, lease, kind, groups, retry_after_us in reports:
            task = self.tasks[label]
            holds = task.lease == lease if task.is_fenced else lease is None
            if label in settled:
                verdicts.append(Verdict.REPEATED)
            elif holds and task.state is RUNNING:
                settled.add(label)
                verdicts.append(Verdict.ACCEPTED)
                self._end(task, kind, groups, now_us + retry_after_us if retry_after_us else None)
            elif holds and task.state is COMPUTED and kind == "computed":
                verdicts.append(Verdict.REPEATED)
            else:
                verdicts.append(Verdict.STALE)
        return verdicts

    def extend(self, label, lease, until_us):
        task = self.tasks[label]
        if task.state is not RUNNING or lease != (task.lease if task.is_fenced else None):
            return False
        task.until_us = until_us
        return True

    def expire(self, now_us):
        over = [task for task in self.tasks.values() if task.state is RUNNING and task.until_us < now_us]
        for task in over:
            self._end(task, "expired", [], None)
        return len(over)

    def wake(self, now_us):
        for task in self.tasks.values():
            if task.wake_us is not None and task.wake_us <= now_us:
                task.wake_us = None
        return min((task.wake_us for task in self.tasks.values() if task.wake_us is not None), default=None)

    def cancel(self, identity):
        job = self.jobs[identity]
        job.is_canceled |= job.state not in {JobState.COMPLETED, JobState.FAILED}

    def retry(self, identity):
        job = self.jobs[identity]
        failed = [task for task in job.tasks if task.state is FAILED]
        job.is_canceled = False
        for task in failed:
            task.state, task.retries, task.crashes = QUEUED, 0, 0
        return len(failed)

    def _add(self, job, parent, groups):
        """Add groups of ([(label, queue, max_retries, is_optional), …], positions of groups they wait for)."""
        made: list[ModelGroup] = []
        for tasks, dependencies in groups:
            group = ModelGroup(job, parent, [made[position] for position in dependencies])
            group.tasks = [ModelTask(label, group, *rest) for label, *rest in tasks]
            self.tasks |= {task.label: task for task in group.tasks}
            made.append(group)
        return made

    def _end(self, task, kind, groups, wake_us):
        task.until_us = None
        if kind == "returned":
            self._requeue(task, wake_us)
            return
        task.group.job.was_tried = True
        if kind == "computed":
            task.state = COMPUTED
            self.computed[task.label] += 1
            task.groups = self._add(task.group.job, task, groups)
            if task.is_abandoned:
                self._skip_below(task)
            return
        if kind in CRASHES:
            task.crashes += 1
            is_over = task.crashes > self.max_crashes
        else:
            task.retries += 1
            is_over = kind == "final" or task.retries > task.max_retries
        if not is_over:
            self._requeue(task, wake_us)
        elif task.excuse is None:
            task.state = FAILED
        else:
            task.state = FAILED_OPTIONAL
            self._skip_below(task.excuse)

    def _requeue(self, task, wake_us):
        if task.is_abandoned:
            task.state = SKIPPED
        else:
            task.state, task.wake_us, task.claim = QUEUED, wake_us, None

    def _skip_below(self, task):
        for below in (below for group in task.groups for below in _with_descendants(group)):
            if below.state is QUEUED:
                below.state, below.wake_us = SKIPPED, None
            elif below.state is RUNNING:
                below.is_abandoned = True
