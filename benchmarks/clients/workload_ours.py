"""This project's runner and submitting client, each in its own process.

python workload_ours.py worker | submit COUNT | measure [start] [chain] [fan_out]
"""

# ruff: noqa: D101, D102 - the tasks do what their names say

from __future__ import annotations

import os
import sys

import workload

from tilebox.workflows import Client, ExecutionContext, Task


class Root(Task):
    count: int

    def execute(self, context: ExecutionContext) -> None:
        for _ in range(self.count):
            context.submit_subtask(Leaf())


class Leaf(Task):
    def execute(self, context: ExecutionContext) -> None:  # noqa: ARG002
        workload.MARKS.add()


class Chain(Task):
    count: int

    def execute(self, context: ExecutionContext) -> None:
        before = context.submit_subtask(Leaf())
        for _ in range(self.count - 1):
            before = context.submit_subtask(Leaf(), depends_on=[before])


def main() -> None:
    client = Client(url=workload.ADDRESS, token=os.environ["WORKLOAD_TOKEN"])
    if sys.argv[1] == "worker":
        client.runner(tasks=[Leaf, Root, Chain]).run_forever()
        return
    jobs = client.jobs()
    if sys.argv[1] == "submit":
        jobs.submit("leaves", [Leaf() for _ in range(int(sys.argv[2]))])
        return
    peer = workload.Peer(
        lambda count: jobs.submit("fan-out", Root(count)),
        lambda: jobs.submit("start", Leaf()),
        lambda count: jobs.submit("chain", Chain(count)),
    )
    workload.measure(peer, sys.argv[2:] or ("start", "chain", "fan_out"))


if __name__ == "__main__":
    main()
