"""Huey on SQLite, with a flush to disk at each commit. Its consumer deletes a task when it takes it (at most once).

python peers/peer_huey.py worker | measure
"""

from __future__ import annotations

import sys

import workload
from huey import SqliteHuey

huey = SqliteHuey("benchmark", filename=workload.ADDRESS, fsync=True, results=False)


@huey.task()
def root(count: int) -> None:
    for _ in range(count):
        leaf()


@huey.task()
def leaf() -> None:
    workload.MARKS.add()


@huey.task()
def link(left: int) -> None:
    workload.MARKS.add()
    if left > 1:
        link(left - 1)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        # The consumer polls; the shortest delay gives its best figures.
        huey.create_consumer(workers=1, periodic=False, initial_delay=0.001, max_delay=0.005, backoff=1.05).run()
    else:
        workload.measure(workload.Peer(root, leaf, link))
