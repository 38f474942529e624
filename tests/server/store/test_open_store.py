"""Opening a store by URL, and the SQL statements of both databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tilebox.errors import MissingExtraError
from tilebox.server import store
from tilebox.server.store import open_store
from tilebox.server.store.sql.statements import call, script, statements


@pytest.mark.parametrize(
    "url", ["sqlite://relative/x.db", "sqlite:///", "sqlite:x.db", "sqlite:///a.db?mode=ro", "sqlite://"]
)
def test_sqlite_urls_name_an_absolute_path(url):
    with pytest.raises(ValueError, match="absolute"):
        open_store(url)


def test_three_and_four_slashes_mean_the_same_path():
    for url in ("sqlite:///data/x.db", "sqlite:////data/x.db"):
        assert str(open_store(url)._engine.path) == "/data/x.db"


def test_a_path_may_contain_any_character(tmp_path):
    opened = open_store(f"sqlite://{tmp_path}/with%20space%3F.db")
    assert opened._engine.path == tmp_path / "with space?.db"


@pytest.mark.parametrize("url", ["mysql://user:secret@host/db", "", "host/db", "postgresql://user:secret@[host/db"])
def test_other_urls_are_refused_without_showing_a_password(url):
    with pytest.raises(ValueError, match="URL") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("tilebox.server.store.postgres")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(store, "postgres", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(MissingExtraError, match=r"tilebox-open\[postgres\]"):
        open_store("postgresql://host/db")


def test_sqlite_needs_no_postgres_driver():
    check = "import sys; from tilebox.server.store import open_store; open_store('sqlite:////x'); assert 'asyncpg' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_every_statement_has_a_summary_and_is_used():
    folder = Path(store.__file__).parent
    sources = "".join(file.read_text("utf-8") for file in folder.rglob("*.py"))
    for name, statement in statements().items():
        assert statement.summary.endswith("."), name
        # The name is an argument of `call` or `call_each`, or an item of a list of names.
        assert f'"{name}"' in sources, name


# Statements without a team parameter, by the reason why they need none.
WITHOUT_TEAM = {
    "the rows belong to no team, or to all of them": {
        "add_team", "teams", "ping", "clock", "announce", "create_migrations", "migrations", "add_migration",
    },
    "the key determines the team": {"key_by_digest", "touch_key"},
    "the background loops serve all teams": {
        "all_datasets", "cluster_ranks", "raise_rank", "delete_runners", "expired_tasks", "due_tasks", "next_wake",
        "lock_jobs", "wake_tasks", "latest_runner_seen", "rewind_runners_seen", "cap_fenced_leases",
        "rewind_unfenced_leases",
        "rewind_pauses", "rewind_attempts",
    },
    "these return the team of a task, and the caller compares it": {
        "lock_jobs_of_tasks", "tasks_with_jobs", "dependents_of_tasks",
    },
    "the same transaction checked that the task belongs to the team, or its lease has expired": {
        "extend_leases", "mark_tasks_computed", "mark_tasks_ended", "requeue_tasks", "add_attempts", "clear_progress",
        "upsert_progress", "ancestors", "skip_descendants", "abandon_descendants",
    },
    "the same transaction checked that the job belongs to the team, and locked it": {
        "add_groups", "add_dependencies", "add_tasks", "decrement_groups", "decrement_parents", "release_groups",
        "unqueue_jobs", "update_job_counts", "cancel_job", "requeue_failed_tasks", "reopen_job",
        "unblocked_groups",
    },
    "the services looked up the cluster by its team before, and its queues by the cluster": {
        "queues", "add_queue", "queue", "queue_by_number", "running_in_cluster", "upsert_runner", "cluster_runners",
        "ready_tasks", "lease_tasks", "ready_in_queue", "paused_in_queue", "blocked_in_queue",
    },
    "the services looked up the job or the task by its team before": {
        "job_progress", "job_groups", "job_dependencies", "root_dependencies", "root_tasks", "child_tasks",
        "queued_tasks", "tasks_in_state", "tasks_of_group", "group_task_counts", "remaining_task_counts",
        "blocking_tasks", "blocking_counts",
    },
}  # fmt: skip


def test_every_statement_on_rows_of_a_team_takes_the_team():
    for dialect in ("sql", "postgres"):
        texts = {name: getattr(statement, dialect) for name, statement in statements().items()}
        without = {name for name, text in texts.items() if text is not None and ":team" not in text}
        known = set().union(*WITHOUT_TEAM.values())
        assert without <= known, f"these statements take no team: {without - known}"
    assert known == {name for name, statement in statements().items() if ":team" not in statement.sql}
    assert len(known) == sum(map(len, WITHOUT_TEAM.values())), "a statement is listed twice"


def test_parameters_are_numbered_for_postgresql():
    statement = call("dataset_by_slug", team=None, slug="x").statement
    assert "team_id = :team AND slug = :slug" in statement.sql
    assert "team_id = $1 AND slug = $2" in statement.numbered.text
    assert statement.numbered.parameters == ("team", "slug")


def test_a_script_is_split_at_line_ends_only():
    text = "-- a; b;\nCREATE TABLE a (x text DEFAULT ';');\n\n-- c\nSELECT\n  1;\n"
    assert [step.statement.sql for step in script(text)] == ["CREATE TABLE a (x text DEFAULT ';')", "SELECT\n  1"]
