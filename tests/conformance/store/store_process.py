"""A process that a test runs and kills: `python store_process.py migrate|write|hold URL …`."""

from __future__ import annotations

import itertools
import sys
from uuid import UUID, uuid4

import anyio

from tilebox.server.store import open_store


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def migrate(url):
    store = open_store(url)
    say("ready")
    sys.stdin.readline()
    await store.migrate()
    say("migrated")
    await store.close()


async def write(url, team, dataset):
    """Create collections and groups for ever, and print each once it is acknowledged."""
    store = open_store(url)
    serial = itertools.count()

    async def work():
        for index in serial:
            collection = await store.add_collection(UUID(team), UUID(dataset), uuid4(), f"c{index}", index)
            say("collection", collection.id, collection.number)
            group = await store.ensure_groups(UUID(team), [f"g{index}", "x", "y", "z"])
            say("group", group.slug)

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(work)


async def hold(url, table):
    store = open_store(url)
    async with store.writer_lock(UUID(table)):
        say("held")
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run({"migrate": migrate, "write": write, "hold": hold}[sys.argv[1]], *sys.argv[2:])
