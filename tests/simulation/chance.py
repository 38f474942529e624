"""What a seed decides: the jobs, the runners, and what may go wrong and how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

LEASE_SECONDS = 8.0
MAX_CRASHES = 2
KINDS = (("sim.Small", "v1.0"), ("sim.Large", "v1.1"))


@dataclass(slots=True)
class TaskPlan:
    """A task: what is submitted of it, and what its executions do, the last of which is repeated.

    Args:
        label: Its input, by which it is known.
        kind: Position in `KINDS`.
        outcomes: `computed`, `failed`, `final`, `crashed` (in a process of its own), or `poison` (with its runner).
        seconds: How long an execution takes.
        pause_seconds: How long it wants to wait after a failure.
        groups: What it submits.
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
        """Return what an execution of it does."""
        return self.outcomes[min(number, len(self.outcomes) - 1)]


@dataclass(slots=True)
class GroupPlan:
    """Tasks with equal dependencies, which are positions of groups beside them."""

    tasks: list[TaskPlan]
    dependencies: list[int]


@dataclass(slots=True)
class JobPlan:
    """A job, when it is submitted, when somebody cancels it, and whether it is retried until it is completed."""

    name: str
    groups: list[GroupPlan]
    at: float
    canceled_at: float | None
    is_retried: bool

    def tasks(self) -> Iterator[TaskPlan]:
        """Yield all tasks, also those that are not submitted yet."""
        waiting = list(self.groups)
        while waiting:
            for task in waiting.pop().tasks:
                yield task
                waiting += task.groups


@dataclass(slots=True)
class Faults:
    """How likely is what, each time that it could happen; zero for what this seed goes without.

    Args:
        lost: A request or an answer is lost.
        doubled: A request arrives twice, the second time late.
        late: A message takes long, and is overtaken.
        runner_dies: A runner dies, at any of its steps.
        unheard: A runner's companion dies with it, so that nobody says what it died of.
        server_dies: A server dies, at any step of a transaction or beside it.
        suspended: A runner stands still for longer than its leases.
        refused: The database fails, with the transaction carried out or not.
        outage: The database is away for a while, mostly for longer than a lease.
        cut: The way between a runner and the servers is cut for a while, in one direction or in both.
        drained: A runner is told to stop.
        clock_steps: A server's clock is set.
        deaths: How many processes die at most.
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


# As often as things may happen that a seed goes with: often enough that they meet, seldom enough that work gets done.
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
    """Everything that a seed decides beforehand."""

    jobs: list[JobPlan]
    runners: list[tuple[int, bool]]  # slots, and whether it executes all kinds
    servers: int
    faults: Faults
    fault_seconds: float

    @classmethod
    def of(cls, random: Random) -> Plan:
        faults = Faults(deaths=3)
        # Some of everything that can go wrong, so that each fault meets each other one, and none hides another.
        for name, rate in _RATES.items():
            if random.random() < 0.4:
                setattr(faults, name, rate * random.uniform(0.3, 1.5))
        luck = random.random()
        if luck < 0.1:
            # Where nothing goes wrong, or only the database is away, more is to be expected.
            faults = Faults() if luck < 0.05 else Faults(outage=0.7)
        jobs = [_job(random, name) for name in "AB"[: random.choice([1, 1, 1, 2])]]
        # One that nothing stops but what goes wrong: with it, a seed in which nothing gets done has failed.
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
            waits = [other for other in range(number) if random.random() < 0.5]
            tasks = [_task(random, f"{prefix}.{number}{letter}") for letter in "ab"[:size]]
            groups.append(GroupPlan(tasks, waits))
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
        # Now and then as long as a lease, so that it must be extended.
        seconds=random.choice([0.0, 0.01, 0.3, 1.0, 1.5 * LEASE_SECONDS if random.random() < 0.2 else 0.1]),
        pause_seconds=random.choice([0.0, 0.0, 0.5, 3.0]),
    )
