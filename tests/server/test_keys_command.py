"""`tilebox keys`, beside a running server."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from wire import CallError, Wire

from tilebox.cli.commands import tilebox
from tilebox.server import keys


def run(server, *arguments):
    return CliRunner().invoke(tilebox, ["keys", *arguments, "--data-dir", str(server.data_dir)])


def test_a_key_is_made_used_listed_and_revoked(server, monkeypatch):
    monkeypatch.setattr(keys, "CACHE_SECONDS", 0)
    made = run(server, "create", "notebook", "--role", "read", "--expires", "30d")
    assert made.exit_code == 0
    token = made.stdout.strip()
    (identity,) = re.findall(r"Key (\S+) of role read for notebook", made.stderr)
    with Wire(server.url, token) as wire:
        wire.call("DatasetService/ListDatasets")
        with pytest.raises(CallError, match="permission_denied"):
            wire.create_dataset()
        (line,) = [line for line in run(server, "list").output.splitlines() if line.startswith(identity)]
        assert re.search(rf"{token[:8]}…  read +until 20\d\d-.* notebook$", line)
        assert token not in line
        assert run(server, "revoke", identity[:8]).exit_code == 0
        with pytest.raises(CallError, match="unauthenticated"):
            wire.call("DatasetService/ListDatasets")
    (line,) = [line for line in run(server, "list").output.splitlines() if line.startswith(identity)]
    assert "revoked" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create", "x", "--role", "king"], "king"),
        (["create", "x", "--expires", "soon"], "'soon' is no age such as 12h, 30d or 8w"),
        (["create", "x", "--expires", "0d"], "is no age"),
        (["revoke", "zzz"], "no key has an id that starts with 'zzz'"),
        (["revoke", ""], "give more of it"),
    ],
)
def test_mistakes_are_named(server, arguments, says):
    run(server, "create", "another")
    done = run(server, *arguments)
    assert done.exit_code != 0
    assert says in done.output


def test_a_directory_without_a_server_is_named(tmp_path):
    done = CliRunner().invoke(tilebox, ["keys", "list", "--data-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert f"there is no server's data in {tmp_path}" in done.output
