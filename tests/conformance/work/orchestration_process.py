"""A process beside the test that dies while it talks to the store: `python orchestration_process.py URL TEAM QUEUES`.

For each line on its input, a request, it forks a copy of itself that sends it and kills itself before a step of the
transaction, behind its last one (then it says "end" first), or behind the commit. Then it says how that went.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from uuid import UUID

import anyio

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

from orchestrated import World, done, group

from tilebox.server.store import open_store
from tilebox.server.store.work.interface import Claimed


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dying(verb, step):
    """Return a verb that dies before a step that runs anything, or before the commit if it has fewer."""

    def steps():
        calls, answer, left = verb(), None, step
        while left:
            try:
                call = calls.send(answer)
            except StopIteration:
                print("end", flush=True)
                die()
            left -= call.each != []
            answer = yield call
        die()

    return steps


def mortal(write, step):
    """Return a way to write that dies before a step of the verb."""
    return lambda verb, *tasks, **rules: write(dying(verb, step), *tasks, **rules)


def requests(world, known):
    """The requests that a process may die in."""
    tasks = [Claimed(bytes.fromhex(task), b"", 0, lease, b"", "", 0, 0) for task, lease in known["tasks"]]
    below = [group(world.task("x"), world.task("y")), group(world.task("z"), after=[0])]
    first, *others = tasks
    reports = [done(first, groups=below), *[done(task) for task in others]]
    wish = world.wish(3, claim=bytes.fromhex(known["claim"]))
    return {
        "exchange": lambda: world.exchange(reports, wish),
        "submit": lambda: world.submit(group(world.task("s")), group(world.task("t"), after=[0])),
        "cancel": lambda: world.cancel(bytes.fromhex(known["job"])),
        "retry": lambda: world.retry(bytes.fromhex(known["job"])),
        "expire": lambda: expire(world),
    }


async def expire(world):
    world.now_us += 2**40
    return await world.expire()


async def send(url, team, queues, known):
    store = open_store(url)
    world = World(store, UUID(team), 0, queues)
    if known["step"] is not None:
        for name in ("write", "write_grouped"):
            setattr(store, name, mortal(getattr(store, name), known["step"]))
    await requests(world, known)[known["request"]]()
    # The commit was made, and nobody hears of it.
    die()


def main(url, team, queues):
    # What it imports later on, every copy would import anew.
    open_store(url)
    anyio.run(anyio.lowlevel.checkpoint)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                anyio.run(send, url, team, json.loads(queues), json.loads(line))
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "failed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
