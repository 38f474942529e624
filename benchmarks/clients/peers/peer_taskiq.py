"""TaskIQ on Redis: one worker process, no result backend.

python -m taskiq worker --workers 1 peers.peer_taskiq:broker
python peers/peer_taskiq.py measure
"""

from __future__ import annotations

import asyncio

import workload
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(workload.ADDRESS)


@broker.task(task_name="root")
async def root(count: int) -> None:
    for _ in range(count):
        await leaf.kiq()


@broker.task(task_name="leaf")
async def leaf() -> None:
    workload.MARKS.add()


@broker.task(task_name="link")
async def link(left: int) -> None:
    workload.MARKS.add()
    if left > 1:
        await link.kiq(left - 1)


def main() -> None:
    with asyncio.Runner() as runner:
        runner.run(broker.startup())
        workload.measure(
            workload.Peer(
                lambda count: runner.run(root.kiq(count)),
                lambda: runner.run(leaf.kiq()),
                lambda count: runner.run(link.kiq(count)),
            )
        )
        runner.run(broker.shutdown())


if __name__ == "__main__":
    main()
