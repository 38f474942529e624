"""The checks at the end of a seed: of the database, the ledger, and the effects of the executions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.plan import MAX_CRASHES, Faults
from survival.harness.invariants import TABLES, Database, Expectation, check

from tilebox.server.rules.task_states import TaskState

if TYPE_CHECKING:
    from simulation.world import World


def check_world(world: World) -> None:
    """Check all invariants.

    Raises:
        AssertionError: An invariant is violated.
    """
    database = _read(world)
    assert set(database.jobs) == world.ledger.submitted, "I1: a job is missing"
    jobs = {identity.hex(): _expectation(world, job, database) for identity, job in database.jobs.items()}
    check(database, world.effects, jobs, max_crashes=MAX_CRASHES)
    _check_failures(world, database)
    assert world.ledger.computed == _in_state(database, TaskState.COMPUTED), (
        "I2: the accepted reports and the computed tasks differ"
    )
    probes = [job for job in database.jobs.values() if job["name"] == "probe"]
    assert probes, "I8: the probe was not submitted"
    # A task that kills its runner may kill the other tasks of the runner each time.
    is_poisoned = any("poison" in task.outcomes for job in world.plan.jobs for task in job.tasks())
    assert is_poisoned or all(job["computed"] == 1 for job in probes), "I8: the probe was not computed"
    if world.plan.faults == Faults(outage=world.plan.faults.outage):
        _check_without_faults(world, database)


def _read(world: World) -> Database:
    return Database.of({table: [dict(row) for row in world.disk.select(f"SELECT * FROM {table}")] for table in TABLES})


def _in_state(database: Database, *states: TaskState) -> set[bytes]:
    return {identity for identity, task in database.tasks.items() if task["state"] in states}


def _expectation(world: World, job: dict, database: Database) -> Expectation:
    """Return how a job must have ended. Several ends are possible only for jobs that were canceled or that fail."""
    failed = sum(task["job_id"] == job["id"] and task["state"] == TaskState.FAILED for task in database.tasks.values())
    state = "FAILED" if failed else "COMPLETED" if not job["open_groups"] else "CANCELED"
    if state == "CANCELED":
        assert job["id"] in world.ledger.stopped, "I1: the job is canceled, but no user canceled it"
    return Expectation(
        state,
        failed,
        is_canceled=job["id"] in world.ledger.stopped,
        was_retried=job["id"] in world.ledger.retried,
    )


def _check_failures(world: World, database: Database) -> None:
    for identity in _in_state(database, TaskState.FAILED, TaskState.FAILED_OPTIONAL):
        task = database.tasks[identity]
        outcomes = world.task_plan(task["input"]).outcomes
        is_exhausted = task["retries"] > task["max_retries"] or task["crashes"] > MAX_CRASHES
        assert is_exhausted or "final" in outcomes, f"I5: {task['input']} failed too early"


def _check_without_faults(world: World, database: Database) -> None:
    """Check that no execution was unnecessary, in a seed in which only tasks and perhaps the database fail."""
    poisoned = {
        identity for identity, task in database.tasks.items() if "poison" in world.task_plan(task["input"]).outcomes
    }
    if not poisoned or not world.plan.faults:
        # This includes the leases of runners that die, because their companions report the deaths.
        assert all(attempt["outcome"] != "expired" for attempt in database.attempts), "a lease expired without a reason"
    if not poisoned:
        for identity, task in database.tasks.items():
            needed = world.executions[identity] + world.ledger.returned[identity]
            assert needed == task["lease_number"], "a task was leased more often than it was executed or returned"
