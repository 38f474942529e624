"""`python examples/demo`, as a new user runs it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.datapoints.stac_items import ITEMS

pytest.importorskip("matplotlib", reason="needs the dependency group demo")
pytest.importorskip("sgp4", reason="needs the dependency group demo")

DEMO = Path(__file__).parents[2] / "examples" / "demo"


def demo(folder, *options, code=0, **environment):
    done = subprocess.run(
        [sys.executable, DEMO, "--output", "out", *options],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_tour(tmp_path):
    output = demo(tmp_path)
    assert "Stored    49,608 datapoints" in output
    assert "= 24,804 datapoints" in output
    assert "No such images exist" in output
    assert "<xarray.Dataset>" in output
    assert (tmp_path / "out" / "map.png").stat().st_size > 300_000
    assert (tmp_path / "out" / "map.html").stat().st_size > 500_000
    assert "Job coverage [COMPLETED]: 26 of 26 tasks computed" in output
    assert (tmp_path / "out" / "coverage.png").stat().st_size > 30_000
    assert "footprints" in (tmp_path / "out" / "coverage-job.svg").read_text()


def test_items_of_ones_own(tmp_path):
    (tmp_path / "items.json").write_text(json.dumps(ITEMS))
    output = demo(tmp_path, "--stac", "items.json", NOX_CURRENT_SESSION="demo")
    assert "6 STAC items, 10 to 15 July 2025" in (tmp_path / "out" / "map.html").read_text()
    assert "around 45.5°N 10.5°E" in output or "the Alps" in output
    assert f"nox -s serve -- --data-dir {tmp_path / 'out' / 'data'}\n" in output
    assert f"{sys.executable} -c 'from tilebox.datasets" in output


def test_the_commands_that_go_on_run_in_the_readers_shell(tmp_path):
    say = "from tilebox.cli import invocation; print(invocation.python(), '\\n', invocation.tilebox_serve(), sep='')"
    folder = str(Path(sys.executable).parent)
    for path, runner in [(folder, {}), (folder, {"UV": "/bin/uv"}), (str(tmp_path), {})]:
        done = subprocess.run(
            [sys.executable, "-c", say],
            env={"PATH": f"{path}:/nowhere", **runner},
            capture_output=True,
            text=True,
            check=True,
        )
        python, serve = done.stdout.splitlines()
        assert (python == "python") == (serve == "tilebox serve") == (path == folder and not runner)
        reader = {"PATH": folder if python == "python" else str(tmp_path)}
        for command in (f"{python} --version", f"{serve} --help"):
            shown = subprocess.run(["/bin/sh", "-c", command], env=reader, capture_output=True, text=True, check=False)
            assert shown.returncode == 0, shown.stderr


def test_what_cannot_be_read_is_one_line(tmp_path):
    assert "Error: " in demo(tmp_path, "--stac", "none.json", code=1)


def test_the_server_is_gone_afterwards(tmp_path):
    from demo import tour
    from demo.transcript import Transcript

    said = io.StringIO()
    with tour.running_server(tmp_path / "data", Transcript(said)) as server:
        assert httpx.get(f"{server.url}/healthz", trust_env=False, timeout=300).is_success
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz", trust_env=False)
    assert server.url in said.getvalue()
    assert server.token not in said.getvalue()
