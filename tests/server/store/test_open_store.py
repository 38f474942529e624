"""Which store a URL opens, and the SQL that both share."""

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


def test_three_or_four_slashes_are_one_root():
    for url in ("sqlite:///data/x.db", "sqlite:////data/x.db"):
        assert str(open_store(url)._engine.path) == "/data/x.db"


def test_a_path_may_hold_any_characters(tmp_path):
    opened = open_store(f"sqlite://{tmp_path}/with%20space%3F.db")
    assert opened._engine.path == tmp_path / "with space?.db"


@pytest.mark.parametrize("url", ["mysql://user:secret@host/db", "", "host/db", "postgresql://user:secret@[host/db"])
def test_other_urls_are_refused_without_repeating_a_password(url):
    with pytest.raises(ValueError, match="URL") as told:
        open_store(url)
    assert "secret" not in str(told.value)


def test_the_missing_driver_is_named(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("tilebox.server.store.postgres")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(store, "postgres", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(MissingExtraError, match=r"tilebox-open\[postgres\]"):
        open_store("postgresql://host/db")


def test_sqlite_needs_no_postgres_driver():
    check = "import sys; from tilebox.server.store import open_store; open_store('sqlite:////x'); assert 'asyncpg' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_every_statement_has_a_sentence_and_is_used():
    folder = Path(store.__file__).parent
    sources = "".join(file.read_text("utf-8") for file in folder.rglob("*.py"))
    for name, statement in statements().items():
        assert statement.summary.endswith("."), name
        # By `call`, by `call_each`, or from a list of names.
        assert f'"{name}"' in sources, name


# Statements that take no team, by the reason why they need none.
WITHOUT_TEAM = {
    "what belongs to no team, or to all": {
        "add_team", "teams", "ping", "clock", "announce", "create_migrations", "migrations", "add_migration",
    },
    "the key is what tells the team": {"key_by_digest", "touch_key"},
    "loops look after every team at once": {
        "all_datasets", "cluster_ranks", "raise_rank", "forget_runners", "expired_tasks", "due_tasks", "next_wake",
        "live_jobs", "wake_tasks", "latest_note", "set_back_notes", "shorten_leases", "set_back_leases",
        "set_back_pauses", "set_back_attempts",
    },
    "these find out the team of a task, whose job is kept from others; who asks compares it": {
        "lock_jobs_of_tasks", "held_tasks", "behind_tasks",
    },
    "the task was found to be the team's in the same transaction, or its lease is over": {
        "extend_leases", "compute_tasks", "end_tasks", "requeue_tasks", "add_attempts", "clear_progress",
        "put_progress", "ancestors", "skip_below", "abandon_below",
    },
    "the job was found to be the team's in the same transaction, and is kept from others": {
        "add_groups", "add_dependencies", "add_tasks", "count_off_groups", "count_off_submitters", "release_groups",
        "stop_jobs", "change_jobs", "cancel_job", "requeue_failed", "revive_job",
        "open_groups_of_job",
    },
    "the services found the cluster by the team before, and its queues by the cluster": {
        "queues", "add_queue", "queue", "queue_by_number", "running_in_cluster", "note_runner", "cluster_runners",
        "ready_tasks", "lease_tasks", "ready_in_queue", "asleep_in_queue", "blocked_behind_running",
    },
    "the services found the job, or the task, by the team before": {
        "job_progress", "job_groups", "job_dependencies", "root_dependencies", "root_tasks", "child_tasks",
        "queued_tasks", "tasks_in_state", "tasks_of_group", "group_counts", "rest_counts", "waited_for", "wait_counts",
    },
}  # fmt: skip


def test_every_statement_about_a_teams_rows_takes_the_team():
    for dialect in ("sql", "postgres"):
        texts = {name: getattr(statement, dialect) for name, statement in statements().items()}
        without = {name for name, text in texts.items() if text is not None and ":team" not in text}
        known = set().union(*WITHOUT_TEAM.values())
        assert without <= known, f"these take no team: {without - known}"
    assert known == {name for name, statement in statements().items() if ":team" not in statement.sql}
    assert len(known) == sum(map(len, WITHOUT_TEAM.values())), "one is named twice"


def test_parameters_are_numbered_for_postgresql():
    statement = call("dataset_by_slug", team=None, slug="x").statement
    assert "team_id = :team AND slug = :slug" in statement.sql
    assert "team_id = $1 AND slug = $2" in statement.numbered.text
    assert statement.numbered.parameters == ("team", "slug")


def test_a_script_is_split_at_line_ends_only():
    text = "-- a; b;\nCREATE TABLE a (x text DEFAULT ';');\n\n-- c\nSELECT\n  1;\n"
    assert [step.statement.sql for step in script(text)] == ["CREATE TABLE a (x text DEFAULT ';')", "SELECT\n  1"]
