"""A server process: the real services and loops, on the virtual clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
from simulation.plan import LEASE_SECONDS, MAX_CRASHES
from simulation.processes.store import SimulatedStore
from simulation.processes.virtual_time import Process

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import job_pb2
from tilebox.errors import APIError
from tilebox.server.api.jobs import JobService
from tilebox.server.api.runners import RunnerService
from tilebox.server.loops.announcements import AnnouncementListener
from tilebox.server.loops.lease_reaper import LeaseReaper
from tilebox.server.orchestration.jobs import Jobs
from tilebox.server.orchestration.lease_clock import LeaseClock
from tilebox.server.orchestration.leases import Leases
from tilebox.server.orchestration.submissions import Submissions
from tilebox.server.settings import Settings
from tilebox.server.store.work.interface import Limits

if TYPE_CHECKING:
    from simulation.world import World

SETTINGS = Settings(lease_seconds=LEASE_SECONDS, max_crashes=MAX_CRASHES)


class Refused(Exception):  # noqa: N818 - it is what happened
    """The server answered with an error; the message is its code."""


class Server:
    """A server process.

    Args:
        world: The world that it belongs to.
        host: The number of its machine.
        life: The number of server processes on this machine so far, this one included.
    """

    def __init__(self, world: World, host: int, life: int) -> None:
        self.world, self.host = world, host
        self.name = f"server {host}.{life}"
        self.process = Process(world.loop, world.on_error)
        store = SimulatedStore(world, self, self.name)
        submissions = Submissions(store, SETTINGS, monotonic=world.loop.time)
        clock = LeaseClock(lambda: world.wall_us(host), lambda: round(world.loop.time() * 1e9))
        limits = Limits(max_crashes=MAX_CRASHES)
        self.leases = Leases(
            store, submissions, clock, lease_seconds=LEASE_SECONDS, limits=limits, monotonic=world.loop.time
        )
        jobs = Jobs(
            store,
            submissions,
            virtual_rank=self.leases.virtual_rank,
            on_effects=self.leases.notify,
            submit=self.leases.submit,
            clock=clock.now_us,
        )
        runners: Any = RunnerService(self.leases, submissions, jobs, None)
        jobs_api: Any = JobService(jobs, None)
        self._methods = {
            "Exchange": (runners.exchange, runners_pb2.ExchangeRequest),
            "ExtendLeases": (runners.extend_leases, runners_pb2.ExtendLeasesRequest),
            "ReportDeath": (runners.report_death, runners_pb2.ReportDeathRequest),
            "SubmitJob": (jobs_api.submit_job, job_pb2.SubmitJobRequest),
            "CancelJob": (jobs_api.cancel_job, job_pb2.CancelJobRequest),
            "RetryJob": (jobs_api.retry_job, job_pb2.RetryJobRequest),
        }
        self._caller = SimpleNamespace(team=SimpleNamespace(id=world.team))
        self._store = store

    def start(self) -> None:
        """Start the background loops."""
        self.world.note(self.name, "starts")
        self.process.start(LeaseReaper(self._store, self.leases, monotonic=self.world.loop.time).run())
        if self._store.is_shared:
            self.process.start(AnnouncementListener(self._store, self.leases).run())

    def die(self) -> None:
        """Die as in a loss of power."""
        self.world.note(self.name, "dies")
        self.process.kill()
        self.world.server_died(self)

    async def answer(self, method: str, body: bytes, gone: anyio.Event) -> bytes:
        """Answer a call.

        Raises:
            Refused: The answer is an error.
        """
        verb, message = self._methods[method]
        request = message.FromString(body)
        try:
            if method == "Exchange":
                response = await verb(self._caller, request, gone.wait)
            else:
                response = await verb(self._caller, request)
        except APIError as error:
            raise Refused(error.code) from error
        return response.SerializeToString()
