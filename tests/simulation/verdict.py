"""Whether all went well in a seed, found out from the database, the ledger, and what tasks did to the outside world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.chance import MAX_CRASHES, Faults
from survival.harness.invariants import TABLES, Database, Expectation, check

from tilebox.server.rules.task_states import TaskState

if TYPE_CHECKING:
    from simulation.world import World


def pronounce(world: World) -> None:
    """Check everything.

    Raises:
        AssertionError: Something is as it must not be.
    """
    database = _read(world)
    assert set(database.jobs) == world.ledger.submitted, "I1: a job is missing"
    jobs = {identity.hex(): _expectation(world, job, database) for identity, job in database.jobs.items()}
    check(database, world.effects, jobs, max_crashes=MAX_CRASHES)
    _check_who_failed(world, database)
    assert world.ledger.computed == _in_state(database, TaskState.COMPUTED), "I2: what was accepted is not what counts"
    probes = [job for job in database.jobs.values() if job["name"] == "probe"]
    assert probes, "I8: nothing was submitted"
    # A task that kills its runner may take others down with it, each time.
    is_poisoned = any("poison" in task.outcomes for job in world.plan.jobs for task in job.tasks())
    assert is_poisoned or all(job["computed"] == 1 for job in probes), "I8: nothing was computed"
    if world.plan.faults == Faults(outage=world.plan.faults.outage):
        _check_calm(world, database)


def _read(world: World) -> Database:
    return Database.of({table: [dict(row) for row in world.disk.select(f"SELECT * FROM {table}")] for table in TABLES})


def _in_state(database: Database, *states: TaskState) -> set[bytes]:
    return {identity for identity, task in database.tasks.items() if task["state"] in states}


def _expectation(world: World, job: dict, database: Database) -> Expectation:
    """Return how a job may have ended: there is a choice only for those that somebody stopped or that fail."""
    failed = sum(task["job_id"] == job["id"] and task["state"] == TaskState.FAILED for task in database.tasks.values())
    state = "FAILED" if failed else "COMPLETED" if not job["open_groups"] else "CANCELED"
    if state == "CANCELED":
        assert job["id"] in world.ledger.stopped, "I1: nobody canceled the job"
    return Expectation(
        state,
        failed,
        is_canceled=job["id"] in world.ledger.stopped,
        was_retried=job["id"] in world.ledger.retried,
    )


def _check_who_failed(world: World, database: Database) -> None:
    for identity in _in_state(database, TaskState.FAILED, TaskState.FAILED_OPTIONAL):
        task = database.tasks[identity]
        outcomes = world.task_plan(task["input"]).outcomes
        has_used_all = task["retries"] > task["max_retries"] or task["crashes"] > MAX_CRASHES
        assert has_used_all or "final" in outcomes, f"I5: {task['input']} was given up too early"


def _check_calm(world: World, database: Database) -> None:
    """Where nothing goes wrong but tasks, and maybe the database, each task is executed as often as it must be."""
    poisoned = {
        identity for identity, task in database.tasks.items() if "poison" in world.task_plan(task["input"]).outcomes
    }
    if not poisoned or not world.plan.faults:
        # Also of those who die: their companions say so.
        assert all(attempt["outcome"] != "expired" for attempt in database.attempts), "a lease ran out for no reason"
    if not poisoned:
        for identity, task in database.tasks.items():
            needed = world.executions[identity] + world.ledger.returned[identity]
            assert needed == task["lease_number"], "a task was handed out for nothing"
