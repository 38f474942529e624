"""Inputs of tasks travel between our SDK and the official one: the same bytes, both ways."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from e2e.official import official_tasks
from e2e.official.test_official import official_python  # noqa: F401 - a fixture

from tilebox._core.tasks.inputs.serialization import deserialize, serialize
from tilebox._core.tasks.task import Task

SCRIPT = Path(__file__).with_name("official_inputs.py")


@pytest.mark.official
@pytest.mark.slow
def test_both_sides_write_the_same_and_read_each_other(official_python, tmp_path):  # noqa: F811
    tasks = official_tasks.make(Task)
    ours = {name: serialize(task).hex() for name, task in tasks.items()}
    done = subprocess.run(
        [official_python, "-W", "ignore", SCRIPT],
        input=json.dumps(ours),
        cwd=tmp_path,  # not the project's folder, whose package has the same name
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {name: bytes.fromhex(data) for name, data in answer["written"].items()} == {
        name: bytes.fromhex(data) for name, data in ours.items()
    }
    assert answer["misread"] == []
    for name, data in answer["written"].items():
        assert deserialize(type(tasks[name]), bytes.fromhex(data)) == tasks[name], name
