"""PgQueuer on PostgreSQL, asyncpg, batches of ten. It buffers completions for up to 0.1 s; after a crash these tasks run again.

python peers/peer_pgqueuer.py install | worker | measure
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import asyncpg
import workload
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries


async def connect() -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect(workload.ADDRESS))


async def install() -> None:
    await Queries(await connect()).install()


async def work() -> None:
    driver = await connect()
    queue = PgQueuer(driver)
    queries = Queries(driver)

    @queue.entrypoint("root")
    async def root(job: Job) -> None:
        count = int(job.payload or b"0")
        await queries.enqueue(["leaf"] * count, [None] * count, [0] * count)

    @queue.entrypoint("leaf")
    async def leaf(_: Job) -> None:
        workload.MARKS.add()

    @queue.entrypoint("link")
    async def link(job: Job) -> None:
        workload.MARKS.add()
        left = int(job.payload or b"0")
        if left > 1:
            await queries.enqueue("link", str(left - 1).encode())

    await queue.run(dequeue_timeout=timedelta(seconds=5), batch_size=10)


def measure() -> None:
    with asyncio.Runner() as runner:
        queries = Queries(runner.run(connect()))
        workload.measure(
            workload.Peer(
                lambda count: runner.run(queries.enqueue("root", str(count).encode())),
                lambda: runner.run(queries.enqueue("leaf", None)),
                lambda count: runner.run(queries.enqueue("link", str(count).encode())),
            )
        )


if __name__ == "__main__":
    if sys.argv[1] == "measure":
        measure()
    else:
        asyncio.run({"install": install, "worker": work}[sys.argv[1]]())
