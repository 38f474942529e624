"""The plan of a seed: the jobs, the runners, and which faults happen how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

LEASE_SECONDS = 8.0
MAX_CRASHES = 2
KINDS = (("sim.Small", "v1.0"), ("sim.Large", "v1.1"))


@dataclass(slots=True)
class TaskPlan:
    """A task, and the outcomes of its executions.

    Args:
        label: Its input, which identifies it.
        kind: The position of its identifier in `KINDS`.
        max_retries: How often it may be tried again.
        is_optional: Whether it may fail without failing its job.
        outcomes: One for each execution; the last one repeats. `computed`, `failed`, `final` (a failure without
            retries), `crashed` (its own process dies), or `poison` (its runner dies).
        seconds: The duration of an execution.
        pause_seconds: The pause that it asks for after a failure.
        groups: The subtasks that it submits.
    """

    label: str
    kind: int
    max_retries: int
    is_optional: bool
    outcomes: list[str]
    seconds: float
    pause_seconds: float
    groups: list[GroupPlan] = field(default_factory=list)

    def outcome(self, number: int) -> str:
        """Return the outcome of an execution, counted from 0."""
        return self.outcomes[min(number, len(self.outcomes) - 1)]


@dataclass(slots=True)
class GroupPlan:
    """Tasks with the same dependencies, which are positions in the list of sibling groups."""

    tasks: list[TaskPlan]
    dependencies: list[int]


@dataclass(slots=True)
class JobPlan:
    """A job: when it is submitted and canceled, and whether a user retries it until it is completed."""

    name: str
    groups: list[GroupPlan]
    at: float
    canceled_at: float | None
    is_retried: bool

    def tasks(self) -> Iterator[TaskPlan]:
        """Yield all tasks, including subtasks that are not submitted yet."""
        waiting = list(self.groups)
        while waiting:
            for task in waiting.pop().tasks:
                yield task
                waiting += task.groups


@dataclass(slots=True)
class Faults:
    """The probability of each fault, each time that it could happen; zero for faults that this seed does not have.

    Args:
        lost: A request or an answer is lost.
        doubled: A request arrives twice, the second time late.
        late: A message is slow, and later ones overtake it.
        runner_dies: A runner dies at any of its steps.
        unheard: The companion of a runner dies with it, so that the death is not reported.
        server_dies: A server dies at any step of a transaction or outside one.
        suspended: A runner is suspended for longer than its leases.
        refused: The database returns an error, before or after the commit.
        outage: The database is down for a while, mostly for longer than a lease.
        cut: The connection between a runner and the servers is cut for a while, in one direction or in both.
        drained: A runner is told to stop.
        clock_steps: The clock of a server is set.
        deaths: The most processes that die.
    """

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    runner_dies: float = 0.0
    unheard: float = 0.0
    server_dies: float = 0.0
    suspended: float = 0.0
    refused: float = 0.0
    outage: float = 0.0
    cut: float = 0.0
    drained: float = 0.0
    clock_steps: float = 0.0
    deaths: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


# The rates of faults that a seed has: high enough that faults meet each other, low enough that work gets done.
_RATES = {
    "lost": 0.15,
    "doubled": 0.15,
    "late": 0.2,
    "runner_dies": 0.03,
    "unheard": 0.6,
    "server_dies": 0.01,
    "suspended": 0.03,
    "refused": 0.06,
    "outage": 0.3,
    "cut": 0.5,
    "drained": 0.4,
    "clock_steps": 0.5,
}


@dataclass(slots=True)
class Plan:
    """All decisions that a seed makes before it runs."""

    jobs: list[JobPlan]
    runners: list[tuple[int, bool]]  # slots, and whether it executes all kinds
    servers: int
    faults: Faults
    fault_seconds: float

    @classmethod
    def of(cls, random: Random) -> Plan:
        faults = Faults(deaths=3)
        # Each seed has some of the faults, so that all pairs of faults meet, and none hides another.
        for name, rate in _RATES.items():
            if random.random() < 0.4:
                setattr(faults, name, rate * random.uniform(0.3, 1.5))
        luck = random.random()
        if luck < 0.1:
            # Without faults, or with outages of the database only, stricter checks apply (`_check_without_faults`).
            faults = Faults() if luck < 0.05 else Faults(outage=0.7)
        jobs = [_job(random, name) for name in "AB"[: random.choice([1, 1, 1, 2])]]
        # The probe fails only because of faults. A seed in which it is not computed has failed.
        probe = TaskPlan("probe", 0, 0, is_optional=False, outcomes=["computed"], seconds=0.01, pause_seconds=0.0)
        jobs.append(JobPlan("probe", [GroupPlan([probe], [])], random.uniform(0.0, 3.0), None, is_retried=True))
        runners = [(random.choice([1, 1, 2]), random.random() < 0.8) for _ in range(random.choice([1, 2, 2, 3]))]
        runners[0] = (runners[0][0], True)
        return cls(jobs, runners, random.choice([1, 1, 2]), faults, random.uniform(0.5, 2.0) * LEASE_SECONDS)


def _job(random: Random, name: str) -> JobPlan:
    left = [random.randint(2, 7)]
    groups = _groups(random, name, left, depth=0)
    canceled_at = random.uniform(0.0, 6.0) if random.random() < 0.2 else None
    return JobPlan(name, groups, random.uniform(0.0, 2.0), canceled_at, is_retried=random.random() < 0.7)


def _groups(random: Random, prefix: str, left: list[int], depth: int) -> list[GroupPlan]:
    groups: list[GroupPlan] = []
    for number in range(random.choice([1, 2, 2, 3])):
        size = min(left[0], random.choice([1, 1, 2]))
        left[0] -= size
        if size:
            dependencies = [other for other in range(number) if random.random() < 0.5]
            tasks = [_task(random, f"{prefix}.{number}{letter}") for letter in "ab"[:size]]
            groups.append(GroupPlan(tasks, dependencies))
    for task in [task for group in groups for task in group.tasks]:
        if left[0] and depth < 2 and random.random() < 0.5:
            task.groups = _groups(random, task.label, left, depth + 1)
    return groups


def _task(random: Random, label: str) -> TaskPlan:
    outcomes = [random.choice(["failed", "failed", "crashed", "final"]) for _ in range(random.choice([0, 0, 0, 1, 2]))]
    luck = random.random()
    outcomes.append("poison" if luck < 0.02 else "failed" if luck < 0.04 else "computed")
    return TaskPlan(
        label,
        kind=random.choice([0, 0, 1]),
        max_retries=random.choice([0, 1, 3]),
        is_optional=random.random() < 0.15,
        outcomes=outcomes,
        # Some executions are longer than a lease, so that it must be extended.
        seconds=random.choice([0.0, 0.01, 0.3, 1.0, 1.5 * LEASE_SECONDS if random.random() < 0.2 else 0.1]),
        pause_seconds=random.choice([0.0, 0.0, 0.5, 3.0]),
    )
