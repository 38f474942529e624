"""Which store a URL opens, and the SQL that both share."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest

from tilebox.errors import MissingExtraError
from tilebox.server import store
from tilebox.server.store import open_store
from tilebox.server.store.statements import call, script, statements


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
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"tilebox-open\[postgres\]"):
        open_store("postgresql://host/db")


def test_sqlite_needs_no_postgres_driver():
    check = "import sys; from tilebox.server.store import open_store; open_store('sqlite:////x'); assert 'psycopg' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_every_statement_has_a_sentence_and_is_used():
    folder = files("tilebox.server.store")
    sources = "".join(file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".py"))
    for name, statement in statements().items():
        assert statement.summary.endswith("."), name
        # By `call`, by `call_each`, or from a list of names.
        assert f'"{name}"' in sources, name


def test_every_statement_about_a_teams_rows_takes_the_team():
    """Those of the orchestrator work on rows of jobs whose team was checked first, or on all teams' rows in loops."""
    without = {name for name, statement in _statements_of("teams", "keys", "groups", "datasets", "collections")}
    assert without == {"add_team", "teams", "ping", "key_by_digest", "touch_key", "all_datasets"}


def _statements_of(*files_of):
    named = [
        line.removeprefix("-- name: ")
        for name in files_of
        for line in (files("tilebox.server.store") / "queries" / f"{name}.sql").read_text("utf-8").splitlines()
        if line.startswith("-- name: ")
    ]
    return [(name, statements()[name]) for name in named if ":team" not in statements()[name].sql]


def test_parameters_are_rewritten_for_psycopg():
    statement = call("dataset_by_slug", team=None, slug="x").statement
    assert "slug = :slug" in statement.sql
    assert "slug = %(slug)s" in statement.pyformat


def test_a_script_is_split_at_line_ends_only():
    text = "-- a; b;\nCREATE TABLE a (x text DEFAULT ';');\n\n-- c\nSELECT\n  1;\n"
    assert [step.statement.sql for step in script(text)] == ["CREATE TABLE a (x text DEFAULT ';')", "SELECT\n  1"]
