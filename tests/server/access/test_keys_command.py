"""`tilebox keys`, beside a running server."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from click.testing import CliRunner
from support.http.wire import CallError, Wire

from tilebox.cli.commands import tilebox
from tilebox.server.access import keys


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
        (["create", "x", "--expires", "soon"], "'soon' is not an age; write it as 12h, 30d or 8w"),
        (["create", "x", "--expires", "0d"], "'0d' is not an age"),
        (["create", ""], "a key needs a name in one line"),
        (["create", "a\nb"], "a key needs a name in one line"),
        (["revoke", "zzz"], "no key has the id, the first characters or the name 'zzz'"),
        (["revoke", ""], "no key has the id, the first characters or the name ''"),
    ],
)
def test_mistakes_are_named(server, arguments, says):
    run(server, "create", "another")
    done = run(server, *arguments)
    assert done.exit_code != 0
    assert says in done.output


def made(server, name):
    """Make a key and return its id and its text."""
    done = run(server, "create", name)
    return re.findall(r"Key (\S+) of", done.stderr)[0], done.stdout.strip()


def is_revoked(server, identity):
    (line,) = [line for line in run(server, "list").output.splitlines() if line.startswith(identity)]
    return "revoked" in line


@pytest.mark.parametrize(
    "named",
    [
        lambda identity, *_: identity,
        lambda identity, *_: identity.upper(),
        lambda identity, *_: identity[:13],
        lambda _, token, __: token,
        lambda _, token, __: token[:8],
        lambda _, token, __: f"{token[:8]}…",
        lambda _, __, name: name,
    ],
)
def test_a_key_is_named_by_any_column_of_the_list(server, named):
    name = f"job {uuid4().hex}"
    identity, token = made(server, name)
    done = run(server, "revoke", named(identity, token, name))
    assert done.exit_code == 0, done.output
    assert f"Revoked key {identity} of {name}" in done.output
    assert is_revoked(server, identity)


def test_a_name_of_several_keys_is_refused_with_all_of_them(server):
    name = f"twin {uuid4().hex}"
    (first, _), (second, _) = made(server, name), made(server, name)
    refused = run(server, "revoke", name)
    assert refused.exit_code == 1
    assert f"2 keys match '{name}'" in refused.output
    assert first in refused.output
    assert second in refused.output
    assert not is_revoked(server, first)
    run(server, "revoke", first)
    assert run(server, "revoke", name).exit_code == 0, "only one of the two still works"
    assert is_revoked(server, second)


def test_a_directory_without_a_server_is_named(tmp_path):
    done = CliRunner().invoke(tilebox, ["keys", "list", "--data-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert f"there is no data of a server in {tmp_path}" in done.output
