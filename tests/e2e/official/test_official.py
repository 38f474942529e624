"""The official SDK, unmodified, against our server, over both of its transports."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PACKAGES = ("tilebox-datasets==0.66.0", "tilebox-workflows==0.66.0", "protobuf-py==0.6.0")
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def official_python(tmp_path_factory) -> Path:
    """The interpreter of an environment with the official SDK: the one that is named, or one built here."""
    given = os.environ.get("TILEBOX_OFFICIAL_ENV")
    folder = Path(given) if given else tmp_path_factory.mktemp("official") / "env"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not given:
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    return python


@pytest.mark.official
@pytest.mark.slow
@pytest.mark.parametrize("transport", ["grpc", "http1"])
@pytest.mark.parametrize("script", ["official_client.py", "official_workflows.py"])
def test_the_official_sdk_works_against_our_server(server, official_python, script, transport, tmp_path):
    arguments = [server.url, server.token, transport]
    if script == "official_workflows.py":
        arguments.append(str(tmp_path))
    done = subprocess.run(
        [official_python, "-W", "ignore", HERE / script, *arguments],
        cwd=tmp_path,  # not the project's folder, whose package has the same name
        capture_output=True,
        text=True,
        check=False,
    )
    # Its runner tells on the same stream of tasks that fail on purpose.
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["passed"]), done.stderr
