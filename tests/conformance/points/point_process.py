"""A second process to be killed or to write concurrently: `point_process.py VERB LOCATION LOCKS TABLE …`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from uuid import UUID

import anyio

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.datapoints.tables import ids_of, open_point_store, scenes

BATCH_ROWS = 500


def emit(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write(points, table, first):
    """Ingest batches of 500 forever, delete every seventh, and print each acknowledgement."""
    for start in range(int(first), 2**40, BATCH_ROWS):
        rows = scenes(range(start, start + BATCH_ROWS), first=start)
        await points.ingest(table, 1, rows, allow_existing=False)
        emit("stored", start)
        if start // BATCH_ROWS % 7 == 6:
            await points.delete(table, 1, ids_of(rows))
            emit("deleted", start)
        if start // BATCH_ROWS % 9 == 8:
            await points.maintain(table)


async def overlap(points, table, batches):
    """Ingest batches that other processes ingest too, and print how many datapoints were new."""
    created = 0
    for number in range(int(batches)):
        rows = scenes(range(number * 20, number * 20 + 40), first=number * 20)
        created += (await points.ingest(table, 1, rows, allow_existing=True)).created
    emit(created)


async def once(points, table):
    """Make each kind of change once. A marker file in the trace shows where each is acknowledged."""
    rows = scenes(range(300))

    def acknowledge(name):
        os.close(os.open(f"ACKNOWLEDGED-{name}", os.O_CREAT))

    await points.ingest(table, 1, rows, allow_existing=False)
    acknowledge("ingest")
    await points.maintain(table)
    acknowledge("index")
    await points.delete(table, 1, ids_of(rows)[:5])
    acknowledge("delete")
    for number in range(9):
        await points.ingest(table, 1, scenes([number], first=1_000 + number), allow_existing=False)
        acknowledge(f"ingest-{number}")
    done = await points.maintain(table)
    acknowledge("compact")
    emit(*done.actions)


async def main(verb, location, locks, table, *arguments):
    options = json.loads(os.environ.get("STORAGE_OPTIONS", "{}"))
    async with open_point_store(location, Path(locks), options) as points:
        await {"write": write, "overlap": overlap, "once": once}[verb](points, UUID(table), *arguments)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
