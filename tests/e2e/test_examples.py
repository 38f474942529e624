"""Every example runs as a script, on a server of its own and on the one in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tilebox.testing import LocalServer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PRINTED = {
    "dog_images.py": ["9 pictures of dogs"],
    "fibonacci.py": ["Fibonacci(12) = 144, by 34 tasks"],
    "flaky.py": ["attempt 3", "the first task succeeded at attempt 3, the job of the second is FAILED"],
    "map_reduce.py": ["the 10", "passes 4"],
    "multi_cluster.py": ["ProcessData waits: no runner is active in cluster", "the job is COMPLETED"],
    "news.py": ["2026-03-16: A week of images over the delta", "Author Ada Byron has written 2 articles"],
}
PARTS = {"local.py", "fake_api.py"}
WITH_DATA = {"coverage_map.py"}


def run(script: str, folder: Path, **environment: str) -> str:
    """Run a script and return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TILEBOX_")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script)],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_none_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*PRINTED, *PARTS, *WITH_DATA}


@pytest.mark.parametrize("script", PRINTED)
def test_on_the_server_in_the_environment(script: str, server: LocalServer, tmp_path: Path) -> None:
    printed = run(script, tmp_path, TILEBOX_API_URL=server.url, TILEBOX_API_KEY=server.token)
    for line in PRINTED[script]:
        assert line in printed


@pytest.mark.slow
@pytest.mark.parametrize("script", PRINTED)
def test_on_a_server_of_its_own(script: str, tmp_path: Path) -> None:
    printed = run(script, tmp_path)
    for line in PRINTED[script]:
        assert line in printed


@pytest.mark.slow
def test_coverage(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the dependency group demo")
    pytest.importorskip("sgp4", reason="needs the dependency group demo")
    assert "26 of 26 tasks computed" in run("coverage_map.py", tmp_path)
    assert (tmp_path / "coverage.png").stat().st_size > 30_000
    assert "footprints" in (tmp_path / "coverage-job.svg").read_text()
