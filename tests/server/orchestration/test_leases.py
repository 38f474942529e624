"""The verbs of runners, where a server alone is not enough to try them."""

from __future__ import annotations

import pytest
from orchestrated import World
from store_records import opened
from wire import submissions, task_group

from tilebox.server.orchestration.lease_clock import Clock
from tilebox.server.orchestration.leases import Leases, Wish
from tilebox.server.orchestration.submissions import Submissions
from tilebox.server.settings import Settings
from tilebox.server.store.work.interface import Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Server:
    """What one of several servers on a database knows."""

    def __init__(self, world):
        self.world = world
        # Its time stands still, so that what it has read stays fresh.
        self.submissions = Submissions(world.store, Settings(), monotonic=lambda: 0.0)
        self.leases = Leases(world.store, self.submissions, Clock(), lease_seconds=60, limits=Limits())

    async def submit(self, name):
        message = submissions(task_group(1), identifiers=[(name, "v1.0")])
        groups = await self.submissions.groups(
            self.world.team, message, default_cluster=self.world.cluster, is_root=True
        )
        await self.world.submit(*groups)

    async def ask(self, claim, *, is_repeated=False):
        wish = Wish(
            cluster=self.world.cluster,
            identifiers=(("Old", 1, 0), ("New", 1, 0)),
            runner=b"r" * 16,
            claim=claim * 16,
            count=5,
            wait_seconds=0,
            is_fenced=True,
        )
        return await self.leases.exchange(self.world.team, [], wish, is_repeated=is_repeated)


async def test_a_claim_that_another_server_answered_is_answered_before_its_queue_is_known(tmp_path):
    async with opened(f"sqlite://{tmp_path}/control.sqlite") as store:
        await store.migrate()
        world = await World.make(store)
        first, second = Server(world), Server(world)
        # It has read the queues that there are, and believes them for a second.
        assert (await second.ask(b"0")).tasks == []
        await first.submit("New")
        handed = await first.ask(b"1")
        again = await second.ask(b"1", is_repeated=True)
        assert len(handed.tasks) == 1
        assert [task.task for task in again.tasks] == [task.task for task in handed.tasks]
        assert again.identifiers == handed.identifiers == [1]
