"""The simulation finds bugs: each of these mutations of the real code is found within some hundred seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulation.processes import store as simulated

from tilebox.server.loops.lease_reaper import LeaseReaper
from tilebox.server.orchestration.leases import Leases
from tilebox.server.rules.task_states import Failure, TaskEvent, Verdict, after_failure, judge
from tilebox.server.store.sql import statements
from tilebox.server.store.work import reports

SEEDS = 1500

MISTAKES = {}


def mistake(plant):
    """Register a mutation under its name."""
    MISTAKES[plant.__name__.replace("_", " ")] = plant
    return plant


def change_sql(monkeypatch, name, old, new):
    known = statements.statements()
    assert old in known[name].sql
    monkeypatch.setitem(known, name, replace(known[name], sql=known[name].sql.replace(old, new)))


@mistake
def the_fence_is_not_checked(monkeypatch):
    def lenient(state, **known):
        return judge(state, **{**known, "reported_lease": known["lease_number"]})

    monkeypatch.setattr(reports, "judge", lenient)


@mistake
def a_report_is_applied_twice(monkeypatch):
    def forgetful(state, **known):
        verdict = judge(state, **known)
        return Verdict.ACCEPTED if verdict is Verdict.REPEATED else verdict

    monkeypatch.setattr(reports, "judge", forgetful)


@mistake
def a_dependency_is_counted_twice(monkeypatch):
    twice = "max(0, open_dependencies - 2 * :dependencies)"
    change_sql(monkeypatch, "decrement_groups", "open_dependencies - :dependencies", twice)


@mistake
def a_group_is_completed_by_its_first_task(monkeypatch):
    change_sql(monkeypatch, "tasks_with_jobs", "task_groups.open_tasks AS", "1 AS")


@mistake
def crashes_are_not_capped(monkeypatch):
    def patient(failure, *arguments, **rules):
        if failure in (Failure.CRASH, Failure.EXPIRED):
            return TaskEvent.REQUEUE
        return after_failure(failure, *arguments, **rules)

    monkeypatch.setattr(reports, "after_failure", patient)


@mistake
def one_retry_more_than_allowed(monkeypatch):
    def generous(*arguments, max_retries, **rules):
        return after_failure(*arguments, max_retries=max_retries + 1, **rules)

    monkeypatch.setattr(reports, "after_failure", generous)


@mistake
def tasks_of_a_canceled_job_stay_claimable(monkeypatch):
    change_sql(monkeypatch, "unqueue_jobs", "rank IS NOT NULL", "false")


@mistake
def leases_never_expire(monkeypatch):
    change_sql(monkeypatch, "expired_tasks", "leased_until_us < :now_us", "false")


@mistake
def leases_expire_although_they_were_extended(monkeypatch):
    change_sql(monkeypatch, "extend_leases", "leased_until_us = :until_us", "leased_until_us = leased_until_us")


@mistake
def leases_end_because_the_database_was_away(monkeypatch):
    monkeypatch.setattr(LeaseReaper, "postpone_expiry", lambda _: None)


@mistake
def leases_outlast_a_clock_that_is_set_back(monkeypatch):
    change_sql(monkeypatch, "cap_fenced_leases", "state = 2", "false")


@mistake
def pauses_never_end(monkeypatch):
    change_sql(monkeypatch, "due_tasks", "wake_us <= :now_us", "false")


@mistake
def a_lease_has_the_number_of_the_previous_one(monkeypatch):
    for name in ("ready_tasks", "lease_tasks"):
        change_sql(monkeypatch, name, "lease_number + 1", "max(1, lease_number)")


@mistake
def a_death_counts_a_crash_for_every_held_task(monkeypatch):
    class Everything:
        def __contains__(self, _):
            return True

    change_deaths(monkeypatch, lambda _: Everything())


@mistake
def tasks_that_killed_their_runner_are_returned(monkeypatch):
    change_deaths(monkeypatch, lambda _: set())


@mistake
def the_death_of_a_runner_releases_no_task(monkeypatch):
    change_sql(monkeypatch, "tasks_held_by_runner", "tasks.state = 2", "false")


def change_deaths(monkeypatch, change):
    report_death = Leases.report_death

    def changed(self, team, runner, executing, cause):
        return report_death(self, team, runner, change(executing), cause)

    monkeypatch.setattr(Leases, "report_death", changed)


@mistake
def a_retry_queues_no_failed_task(monkeypatch):
    change_sql(monkeypatch, "requeue_failed_tasks", "state = 4", "false")


@mistake
def a_crash_commits_half_a_transaction(monkeypatch):
    class Torn(simulated.SimulatedStore):
        def undo(self, connection):
            connection.execute("RELEASE simulated")

    monkeypatch.setattr("simulation.processes.server.SimulatedStore", Torn)


@mistake
def a_commit_is_answered_before_it_is_on_disk(monkeypatch):
    class Hasty(simulated.SimulatedStore):
        def _watched(self, steps, announced):
            answer = yield from super()._watched(steps, announced)
            if self._world.happens("server_dies"):
                raise _Lost(answer)
            return answer

        async def _commit(self, verb):
            try:
                return await super()._commit(verb)
            except _Lost as lost:
                return lost.args[0]

    monkeypatch.setattr("simulation.processes.server.SimulatedStore", Hasty)


class _Lost(Exception):  # noqa: N818 - it is what happened
    """The answer of a transaction that was rolled back."""


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(simulator, monkeypatch, name):
    MISTAKES[name](monkeypatch)
    for seed in range(SEEDS):
        try:
            simulator.run(seed)
        except AssertionError as error:
            print(f"found by seed {seed}: {error.__cause__}")
            return
    pytest.fail(f"not found in {SEEDS} seeds")


def test_a_failure_shows_the_history_and_the_command_that_repeats_it(simulator, monkeypatch):
    a_report_is_applied_twice(monkeypatch)
    # In some seeds this bug leads to rows that the database refuses; look for one that violates I2.
    seed = next(seed for seed in range(SEEDS) if "I2" in mistake_in(simulator, seed))
    with pytest.raises(AssertionError) as failure:
        simulator.run(seed)
    history, _, end = str(failure.value).rpartition("\n\n")
    assert "ComputedReport" in history
    assert f"--seed {seed}" in end
    assert "I2" in end


def mistake_in(simulator, seed):
    """Return the violation that a seed finds, or an empty text."""
    try:
        simulator.run(seed)
    except AssertionError as error:
        return str(error.__cause__)
    return ""
