"""Writes and reads inputs of tasks with the official SDK. Runs in the official SDK's environment, not in ours.

Reads a JSON object from standard input, the inputs of each class as hexadecimal text as our side wrote them, and
prints one: what the official side writes for the same tasks (`written`), and the classes of which it read other
values than the tasks have (`misread`). The classes and tasks are those of `official_tasks.py`.
"""

# ruff: noqa: I001 - our package is not there where this runs

from __future__ import annotations

import json
import sys

import official_tasks
from tilebox.workflows import Task
from tilebox.workflows.task import deserialize_task, serialize_task


def main() -> None:
    ours = {name: bytes.fromhex(data) for name, data in json.load(sys.stdin).items()}
    tasks = official_tasks.make(Task)
    misread = [name for name, task in tasks.items() if deserialize_task(type(task), ours[name]) != task]
    written = {name: serialize_task(task).hex() for name, task in tasks.items()}
    json.dump({"written": written, "misread": misread}, sys.stdout)


main()
