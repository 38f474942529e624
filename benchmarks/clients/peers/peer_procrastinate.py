"""procrastinate on PostgreSQL, one task at a time.

python peers/peer_procrastinate.py install | worker | measure
"""

from __future__ import annotations

import asyncio
import sys

import procrastinate
import workload

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=workload.ADDRESS))


@app.task(name="root")
async def root(count: int) -> None:
    await leaf.batch_defer_async(*({} for _ in range(count)))


@app.task(name="leaf")
async def leaf() -> None:
    workload.MARKS.add()


@app.task(name="link")
async def link(left: int) -> None:
    workload.MARKS.add()
    if left > 1:
        await link.defer_async(left=left - 1)


async def install() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def work() -> None:
    async with app.open_async():
        await app.run_worker_async(concurrency=1, delete_jobs="never")


def measure() -> None:
    with app.replace_connector(procrastinate.SyncPsycopgConnector(conninfo=workload.ADDRESS)) as client, client.open():
        submit = {name: client.configure_task(name).defer for name in ("root", "leaf", "link")}
        workload.measure(
            workload.Peer(
                lambda count: submit["root"](count=count),
                submit["leaf"],
                lambda count: submit["link"](left=count),
            )
        )


if __name__ == "__main__":
    if sys.argv[1] == "measure":
        measure()
    else:
        asyncio.run({"install": install, "worker": work}[sys.argv[1]]())
