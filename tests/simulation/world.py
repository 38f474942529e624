"""The simulation of one seed, from its first event to the final checks."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from simulation.history import render
from simulation.invariants import check_world
from simulation.ledger import Ledger
from simulation.messages import size_of, submissions_of
from simulation.plan import LEASE_SECONDS, Faults, JobPlan, Plan, TaskPlan
from simulation.processes.network import Network, Unreachable
from simulation.processes.runner import Runner
from simulation.processes.server import Refused, Server
from simulation.processes.store import Disk, make_team
from simulation.processes.virtual_time import Process, VirtualLoop
from survival.harness.invariants import Line

from tilebox._core.protocol.tilebox.v1 import id_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2
from tilebox.server.loops import lease_reaper
from tilebox.server.store.work import interface

START_US = 1_790_000_000_000_000
PATIENCE_SECONDS = 60 * LEASE_SECONDS
"""How long the remaining work may take once the faults have ended."""

MAX_RETRIES = 2
"""How often a user retries a job whose tasks fail in every attempt."""


class Simulator:
    """Runs seeds one after the other on one database."""

    def __init__(self) -> None:
        self._disk = Disk()
        self._team = make_team(self._disk)

    def run(self, seed: int) -> World:
        """Run a seed, and return its final state.

        Raises:
            AssertionError: An invariant was violated. The message holds the history, and the command that repeats it.
        """
        world = World(seed, self._disk, self._team)
        try:
            world.run()
        except Exception as error:
            command = f"python -m pytest tests/simulation/test_simulation.py --seed {seed}"
            raise AssertionError(
                f"{world.rendered_history}\n\nseed {seed}: {error!r}\nto see it again: {command}"
            ) from error
        return world


class World:
    """One seed: servers, runners, users, the network between them, and a virtual clock.

    Args:
        seed: The seed of all random choices.
        disk: The database, with its tables and one team.
        team: The team that owns the jobs.
    """

    def __init__(self, seed: int, disk: Disk, team: UUID) -> None:
        self.random = Random(seed)
        self.plan = Plan.of(self.random)
        self.disk, self.team = disk, team
        self.loop = VirtualLoop()
        self.faults = self.plan.faults
        self.ledger = Ledger()
        self.effects: list[Line] = []
        self.history: list[tuple[float, str, Any]] = []
        self.errors: list[BaseException] = []
        self.executions: Counter[bytes] = Counter()
        self.network = Network(self)
        self.servers: list[Server | None] = [None] * self.plan.servers
        self.runners: dict[int, Runner] = {}
        self._lives: Counter[str] = Counter()
        self._inboxes: dict[Server, asyncio.Queue[str]] = {}
        self._clock_errors_us = [0] * self.plan.servers
        self._outage_until = 0.0
        self._deaths_left = self.plan.faults.deaths
        self._tasks = {task.label.encode(): task for job in self.plan.jobs for task in job.tasks()}
        self._users = Process(self.loop, self.on_error)
        self.companions = Process(self.loop, self.on_error)
        self._active_users = 0
        self.is_over = False
        self._labels: dict[bytes, str] = {}

    # Random choices

    def happens(self, name: str) -> bool:
        """Decide whether a fault happens."""
        rate: float = getattr(self.faults, name)
        return rate > 0 and self.random.random() < rate

    def dies(self, name: str) -> bool:
        """Decide whether a process dies."""
        if self._deaths_left and self.happens(name):
            self._deaths_left -= 1
            return True
        return False

    def latency(self) -> float:
        """Return the seconds that a message takes."""
        return self.random.uniform(0.001, 0.01) if not self.happens("late") else self.random.expovariate(1.0)

    async def yield_by_chance(self) -> None:
        """Let other processes run first, in some cases."""
        if self.random.random() < 0.2:
            await asyncio.sleep(self.random.uniform(0.0, 0.005))

    @property
    def is_database_down(self) -> bool:
        return self.loop.time() < self._outage_until

    # Clocks

    def true_us(self) -> int:
        return START_US + round(self.loop.time() * 1e6)

    def wall_us(self, host: int) -> int:
        """Return the time of a machine's clock, which may be wrong."""
        return self.true_us() + self._clock_errors_us[host]

    # Recording

    def note(self, actor: str, event: Any) -> None:
        self.history.append((self.loop.time(), actor, event))

    def on_error(self, error: BaseException) -> None:
        self.errors.append(error)

    def record_exchange(self, server: str, reports: Any, claim: Any, answer: Any) -> None:
        self.ledger.record_exchange(reports, claim, answer)
        self.history += [
            (self.loop.time(), server, (report.task, report.lease, "report", verdict.name))
            for report, verdict in zip(reports, answer.verdicts, strict=True)
        ]
        self.history += [
            (self.loop.time(), server, (task.task, task.lease, "lease", task.input.decode())) for task in answer.tasks
        ]

    def record_cancel(self, job: bytes, effects: Any) -> None:
        self.note("database", f"job {job.hex()} is canceled")
        self.ledger.record_cancel(job, effects)

    def started(self, runner: str, task_id: bytes, task: TaskPlan) -> int:
        """Record the start of an execution, and return the number of earlier executions of the task."""
        self._effect("start", runner, task_id, task, 0)
        self.executions[task_id] += 1
        return self.executions[task_id] - 1

    def ended(self, runner: str, task_id: bytes, task: TaskPlan, outcome: str) -> None:
        """Record the end of an execution."""
        is_computed = outcome == "computed"
        self._effect("end" if is_computed else outcome, runner, task_id, task, size_of(task) if is_computed else 0)

    def _effect(self, kind: str, runner: str, task_id: bytes, task: TaskPlan, submitted: int) -> None:
        self.note(runner, f"{kind} {task.label}")
        self.effects.append(Line(kind, task_id.hex(), runner, round(self.loop.time() * 1e9), submitted))

    def task_plan(self, label: bytes) -> TaskPlan:
        return self._tasks[label]

    # Between servers

    def subscribe(self, server: Server) -> asyncio.Queue[str]:
        return self._inboxes.setdefault(server, asyncio.Queue())

    def announce(self, message: str) -> None:
        for inbox in self._inboxes.values():
            self.loop.call_later(self.latency(), inbox.put_nowait, message)

    def any_host(self) -> int:
        return self.random.randrange(len(self.servers))

    # Starting and restarting processes

    def _start_server(self, host: int) -> None:
        if not self.is_over:
            self._lives[f"s{host}"] += 1
            server = self.servers[host] = Server(self, host, self._lives[f"s{host}"])
            server.start()

    def server_died(self, server: Server) -> None:
        self.servers[server.host] = None
        self._inboxes.pop(server, None)
        self.network.drop(server)
        self.loop.call_later(self.random.uniform(0.1, 4.0), self._start_server, server.host)

    def _start_runner(self, number: int) -> None:
        if not self.is_over:
            self._lives[f"r{number}"] += 1
            slots, is_able = self.plan.runners[number]
            runner = Runner(self, number, self._lives[f"r{number}"], slots=slots, is_able=is_able)
            self.runners[number] = runner
            runner.start()

    def runner_ended(self, number: int) -> None:
        del self.runners[number]
        self.loop.call_later(self.random.uniform(0.1, 2.0), self._start_runner, number)

    # Users

    async def _submit(self, plan: JobPlan) -> None:
        await asyncio.sleep(plan.at)
        request = job_pb2.SubmitJobRequest(
            tasks=submissions_of(plan.groups), job_name=plan.name, trace_parent="trace"
        ).SerializeToString()
        while True:
            try:
                answer = await self.network.call("users", "SubmitJob", request)
            except (Unreachable, Refused):
                await asyncio.sleep(1.0)
                # The answer may have been lost, so look for the job before submitting it again.
                jobs = [bytes(row["id"]) for row in self.disk.select("SELECT id FROM jobs WHERE name = ?", plan.name)]
                if not jobs:
                    continue
                job = jobs[0]
            else:
                job = core_pb2.Job.FromString(answer).id.uuid
            break
        assert job in self.ledger.submitted, "I1: the server confirmed a job that was not committed"
        if plan.canceled_at is not None:
            await asyncio.sleep(max(0.0, plan.canceled_at - self.loop.time()))
            await self._call_until_answered("CancelJob", job_pb2.CancelJobRequest(job_id=id_pb2.ID(uuid=job)))
        self._active_users -= 1

    async def _call_until_answered(self, method: str, request: Any) -> None:
        while True:
            try:
                await self.network.call("users", method, request.SerializeToString())
            except (Unreachable, Refused):
                await asyncio.sleep(0.5)
            else:
                return

    # Faults

    async def _inject_faults(self) -> None:
        faults = self.plan.faults
        while True:
            await asyncio.sleep(self.random.uniform(0.2, 0.6) * LEASE_SECONDS)
            if self.faults is not faults:
                return
            if self.happens("cut"):
                number = self.random.randrange(len(self.plan.runners))
                if number in self.runners:
                    self._cut(self.runners[number].name)
            if self.happens("outage"):
                self._outage_until = self.loop.time() + self.random.uniform(0.3, 1.8) * LEASE_SECONDS
                self.note("database", f"is down until {self._outage_until:.1f}")
            if self.happens("drained") and self.runners:
                self.runners[self.random.choice(sorted(self.runners))].stop(self.random.uniform(0.0, LEASE_SECONDS))
            if self.happens("clock_steps"):
                host = self.any_host()
                self._clock_errors_us[host] = (
                    self.random.choice([-1, 1]) * self.random.choice([2, 60, 3600]) * 1_000_000
                )
                self.note(f"machine {host}", f"its clock is set, now {self._clock_errors_us[host] / 1e6:+.0f} s")
            if self.random.random() < 0.2:
                running = [server for server in self.servers if server is not None]
                if running and self.dies("server_dies"):
                    self.random.choice(running).die()

    def _cut(self, runner: str) -> None:
        until = self.loop.time() + self.random.uniform(0.3, 2.0) * LEASE_SECONDS
        directions = self.random.choice([(until, until), (until, 0.0), (0.0, until)])
        self.network.cuts[runner] = directions
        self.note(runner, f"is cut off until {until:.1f}, (requests, answers) = {directions}")

    # The run

    def run(self) -> None:
        """Run the seed.

        Raises:
            AssertionError: An invariant was violated, or the work did not end in time.
        """
        self.disk.begin()
        ids, rounds = interface.secrets, lease_reaper.ROUNDS_PER_LEASE
        # Ids must come from the seed too. The lease reaper makes fewer rounds per lease than in production, since most
        # of them find nothing. Even fewer would be too few: after an outage, the reaper must not be back before the
        # runners, which pause for up to five seconds.
        interface.secrets = SimpleNamespace(randbits=self.random.getrandbits)
        lease_reaper.ROUNDS_PER_LEASE = 3
        try:
            self.loop.run_until_complete(self._live())
            self._raise_errors()
            check_world(self)
        finally:
            # The history is rendered only for failures, but the labels that it needs are about to be rolled back.
            self._labels = {row["id"]: row["input"].decode() for row in self.disk.select("SELECT id, input FROM tasks")}
            self._end_all()
            interface.secrets, lease_reaper.ROUNDS_PER_LEASE = ids, rounds
            self.disk.rollback()

    @property
    def rendered_history(self) -> str:
        """The history, one line for each event."""
        return render(self.plan, self.history, self._labels)

    async def _live(self) -> None:
        for host in range(len(self.servers)):
            self._start_server(host)
        for number in range(len(self.plan.runners)):
            self._start_runner(number)
        self._active_users = len(self.plan.jobs)
        for job in self.plan.jobs:
            self._users.start(self._submit(job))
        if self.plan.faults:
            self._users.start(self._inject_faults())
        await self._run_with_faults(self.plan.fault_seconds)
        self.faults = Faults()
        self._outage_until = 0.0
        self.network.cuts.clear()
        self.note("world", "the faults end")
        self._deadline = self.loop.time() + PATIENCE_SECONDS
        retries: Counter[bytes] = Counter()
        while True:
            await self._until_settled()
            to_retry = [job for job in self._jobs_to_retry() if retries[job] < MAX_RETRIES]
            if not to_retry:
                return
            for job in to_retry:
                retries[job] += 1
                await self._call_until_answered("RetryJob", job_pb2.RetryJobRequest(job_id=id_pb2.ID(uuid=job)))

    async def _run_with_faults(self, seconds: float) -> None:
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            await asyncio.sleep(min(1.0, until - self.loop.time()))
            self._raise_errors()
            if not self._active_users and self._is_settled():
                return

    async def _until_settled(self) -> None:
        while self._active_users or self.network.late_messages or not self._is_settled():
            if self.loop.time() > self._deadline:
                states = [tuple(row) for row in self.disk.select("SELECT input, state, rank, wake_us FROM tasks")]
                raise AssertionError(f"I1, I8: work is left after {PATIENCE_SECONDS:.0f} s without faults: {states}")
            await asyncio.sleep(0.5)
            self._raise_errors()

    def _is_settled(self) -> bool:
        (row,) = self.disk.select(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE open_groups > 0 AND failed = 0 AND NOT is_canceled)"
            " OR EXISTS (SELECT 1 FROM tasks WHERE state = 2) AS is_active"
        )
        return not row["is_active"]

    def _jobs_to_retry(self) -> list[bytes]:
        wanted = {job.name for job in self.plan.jobs if job.is_retried}
        rows = self.disk.select(
            "SELECT id, name FROM jobs WHERE failed > 0 OR (is_canceled AND open_groups > 0) ORDER BY id"
        )
        return [bytes(row["id"]) for row in rows if row["name"] in wanted]

    def _raise_errors(self) -> None:
        if self.errors:
            raise self.errors[0]

    def _end_all(self) -> None:
        self.is_over = True
        for process in [
            self._users,
            self.companions,
            *(server.process for server in self.servers if server),
            *(runner.process for runner in self.runners.values()),
        ]:
            process.kill()
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()
