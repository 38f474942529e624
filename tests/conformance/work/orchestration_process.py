"""A process that dies while it uses the store: `python orchestration_process.py URL TEAM QUEUES`.

For each request on its input, a line of JSON, it forks a copy of itself. The copy sends the request and kills itself
before a step of the transaction, after the last step (then it prints "end" first), or after the commit. The parent then
prints "killed" or "failed".
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from uuid import UUID

import anyio

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.work.world import World, done, group

from tilebox.server.store import open_store
from tilebox.server.store.work.interface import ClaimedTask


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dying_verb(verb, step):
    """Return a verb that dies before a given step, or before the commit if it has fewer steps.

    Only steps that run a statement count.
    """

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


def dying_write(write, step):
    """Return a replacement for a method of the store, which dies before a step of the verb."""
    return lambda verb, *tasks, **rules: write(dying_verb(verb, step), *tasks, **rules)


def requests(world, known):
    """Return the requests in which a process may die, by name."""
    tasks = [ClaimedTask(bytes.fromhex(task), b"", 0, lease, b"", "", 0, 0) for task, lease in known["tasks"]]
    below = [group(world.task("x"), world.task("y")), group(world.task("z"), after=[0])]
    first, *others = tasks
    reports = [done(first, groups=below), *[done(task) for task in others]]
    request = world.claim_request(3, claim=bytes.fromhex(known["claim"]))
    return {
        "exchange": lambda: world.exchange(reports, request),
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
            setattr(store, name, dying_write(getattr(store, name), known["step"]))
    await requests(world, known)[known["request"]]()
    # The transaction is committed, but the parent gets no result.
    die()


def main(url, team, queues):
    # Import everything before the first fork, or every copy would import it again.
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
