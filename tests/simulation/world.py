"""Everything of one seed, from its first event to the verdict."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from simulation.chance import LEASE_SECONDS, Faults, JobPlan, Plan, TaskPlan
from simulation.ledger import Ledger
from simulation.messages import size_of, submissions_of
from simulation.network import Network, Unreachable
from simulation.runner import Runner
from simulation.server import Refused, Server
from simulation.store import Disk, make_team
from simulation.story import tell
from simulation.verdict import pronounce
from simulation.virtual import Process, VirtualLoop
from survival.harness.invariants import Line

from tilebox._core.protocol.tilebox.v1 import id_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2
from tilebox.server.loops import lease_reaper
from tilebox.server.store.work import interface

START_US = 1_790_000_000_000_000
PATIENCE_SECONDS = 60 * LEASE_SECONDS
"""How long everything may take once nothing goes wrong any more."""

MAX_RETRIES = 2
"""How often somebody retries a job whose tasks fail whatever happens."""


class Stage:
    """Where seeds are played, one after the other."""

    def __init__(self) -> None:
        self._disk = Disk()
        self._team = make_team(self._disk)

    def play(self, seed: int) -> World:
        """Play a seed, and return how it ended.

        Raises:
            AssertionError: It ended badly. The message tells its story, and how to see it again.
        """
        world = World(seed, self._disk, self._team)
        try:
            world.run()
        except Exception as error:
            again = f"python -m pytest tests/simulation/test_simulation.py --seed {seed}"
            raise AssertionError(f"{world.story}\n\nseed {seed}: {error!r}\nto see it again: {again}") from error
        return world


class World:
    """One seed.

    Args:
        seed: Decides everything.
        disk: The database, as it is before.
        team: Whose jobs these are.
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
        self.mistakes: list[BaseException] = []
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
        self._people = Process(self.loop, self.on_mistake)
        self.companions = Process(self.loop, self.on_mistake)
        self._people_at_work = 0
        self.is_over = False
        self._labels: dict[bytes, str] = {}

    # What may happen

    def happens(self, name: str) -> bool:
        """Let a fault happen, or not."""
        rate: float = getattr(self.faults, name)
        return rate > 0 and self.random.random() < rate

    def dies(self, name: str) -> bool:
        """Let a process die, or not."""
        if self._deaths_left and self.happens(name):
            self._deaths_left -= 1
            return True
        return False

    def latency(self) -> float:
        """Return how long a message takes."""
        return self.random.uniform(0.001, 0.01) if not self.happens("late") else self.random.expovariate(1.0)

    async def wait_a_moment(self) -> None:
        """Let others go first, now and then."""
        if self.random.random() < 0.2:
            await asyncio.sleep(self.random.uniform(0.0, 0.005))

    @property
    def is_database_away(self) -> bool:
        return self.loop.time() < self._outage_until

    # What time it is

    def true_us(self) -> int:
        return START_US + round(self.loop.time() * 1e6)

    def wall_us(self, host: int) -> int:
        """Return what the clock of a machine says."""
        return self.true_us() + self._clock_errors_us[host]

    # What is told

    def note(self, who: str, what: Any) -> None:
        self.history.append((self.loop.time(), who, what))

    def on_mistake(self, error: BaseException) -> None:
        self.mistakes.append(error)

    def exchanged(self, server: str, reports: Any, claim: Any, answer: Any) -> None:
        self.ledger.exchanged(reports, claim, answer)
        self.history += [
            (self.loop.time(), server, (report.task, report.lease, "report", verdict.name))
            for report, verdict in zip(reports, answer.verdicts, strict=True)
        ]
        self.history += [
            (self.loop.time(), server, (task.task, task.lease, "lease", task.input.decode())) for task in answer.tasks
        ]

    def canceled(self, job: bytes, effects: Any) -> None:
        self.note("database", f"job {job.hex()} is canceled")
        self.ledger.canceled(job, effects)

    def started(self, runner: str, task_id: bytes, task: TaskPlan) -> int:
        """Note that an execution starts, and return how many of this task did before."""
        self._effect("start", runner, task_id, task, 0)
        self.executions[task_id] += 1
        return self.executions[task_id] - 1

    def ended(self, runner: str, task_id: bytes, task: TaskPlan, outcome: str) -> None:
        """Note that an execution ended."""
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

    # Lives

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

    # What people do

    async def _submit(self, plan: JobPlan) -> None:
        await asyncio.sleep(plan.at)
        request = job_pb2.SubmitJobRequest(
            tasks=submissions_of(plan.groups), job_name=plan.name, trace_parent="trace"
        ).SerializeToString()
        while True:
            try:
                answer = await self.network.call("people", "SubmitJob", request)
            except (Unreachable, Refused):
                await asyncio.sleep(1.0)
                found = [bytes(row["id"]) for row in self.disk.select("SELECT id FROM jobs WHERE name = ?", plan.name)]
                if not found:
                    continue
                job = found[0]
            else:
                job = core_pb2.Job.FromString(answer).id.uuid
            break
        assert job in self.ledger.submitted, "I1: a job was confirmed that is not there"
        if plan.canceled_at is not None:
            await asyncio.sleep(max(0.0, plan.canceled_at - self.loop.time()))
            await self._insist("CancelJob", job_pb2.CancelJobRequest(job_id=id_pb2.ID(uuid=job)))
        self._people_at_work -= 1

    async def _insist(self, method: str, request: Any) -> None:
        while True:
            try:
                await self.network.call("people", method, request.SerializeToString())
            except (Unreachable, Refused):
                await asyncio.sleep(0.5)
            else:
                return

    # What goes wrong by itself

    async def _make_trouble(self) -> None:
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
                self.note("database", f"is away until {self._outage_until:.1f}")
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
        self.note(runner, f"is cut off until {until:.1f}, (there, back) = {directions}")

    # All of it

    def run(self) -> None:
        """Run the seed.

        Raises:
            AssertionError: Something happened that must not, or something did not that must.
        """
        self.disk.begin()
        ids, rounds = interface.secrets, lease_reaper.ROUNDS_PER_LEASE
        # Ids are made by chance too; and rounds that find nothing are most of what a reaper does. Fewer would not do:
        # after an outage, it must not be back before runners are, who pause for up to five seconds.
        interface.secrets = SimpleNamespace(randbits=self.random.getrandbits)
        lease_reaper.ROUNDS_PER_LEASE = 3
        try:
            self.loop.run_until_complete(self._live())
            self._check_mistakes()
            pronounce(self)
        finally:
            # Told only if somebody asks for it; but what it names is about to be forgotten.
            self._labels = {row["id"]: row["input"].decode() for row in self.disk.select("SELECT id, input FROM tasks")}
            self._end_all()
            interface.secrets, lease_reaper.ROUNDS_PER_LEASE = ids, rounds
            self.disk.forget()

    @property
    def story(self) -> str:
        """All that happened, a line each."""
        return tell(self.plan, self.history, self._labels)

    async def _live(self) -> None:
        for host in range(len(self.servers)):
            self._start_server(host)
        for number in range(len(self.plan.runners)):
            self._start_runner(number)
        self._people_at_work = len(self.plan.jobs)
        for job in self.plan.jobs:
            self._people.start(self._submit(job))
        if self.plan.faults:
            self._people.start(self._make_trouble())
        await self._while_it_lasts(self.plan.fault_seconds)
        self.faults = Faults()
        self._outage_until = 0.0
        self.network.cuts.clear()
        self.note("world", "nothing goes wrong any more")
        self._deadline = self.loop.time() + PATIENCE_SECONDS
        retries: Counter[bytes] = Counter()
        while True:
            await self._until_settled()
            again = [job for job in self._to_be_retried() if retries[job] < MAX_RETRIES]
            if not again:
                return
            for job in again:
                retries[job] += 1
                await self._insist("RetryJob", job_pb2.RetryJobRequest(job_id=id_pb2.ID(uuid=job)))

    async def _while_it_lasts(self, seconds: float) -> None:
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            await asyncio.sleep(min(1.0, until - self.loop.time()))
            self._check_mistakes()
            if not self._people_at_work and self._is_settled():
                return

    async def _until_settled(self) -> None:
        while self._people_at_work or self.network.late_messages or not self._is_settled():
            if self.loop.time() > self._deadline:
                states = [tuple(row) for row in self.disk.select("SELECT input, state, rank, wake_us FROM tasks")]
                raise AssertionError(
                    f"I1, I8: after {PATIENCE_SECONDS:.0f} s without faults not all has ended: {states}"
                )
            await asyncio.sleep(0.5)
            self._check_mistakes()

    def _is_settled(self) -> bool:
        (row,) = self.disk.select(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE open_groups > 0 AND failed = 0 AND NOT is_canceled)"
            " OR EXISTS (SELECT 1 FROM tasks WHERE state = 2) AS is_going_on"
        )
        return not row["is_going_on"]

    def _to_be_retried(self) -> list[bytes]:
        wanted = {job.name for job in self.plan.jobs if job.is_retried}
        rows = self.disk.select(
            "SELECT id, name FROM jobs WHERE failed > 0 OR (is_canceled AND open_groups > 0) ORDER BY id"
        )
        return [bytes(row["id"]) for row in rows if row["name"] in wanted]

    def _check_mistakes(self) -> None:
        if self.mistakes:
            raise self.mistakes[0]

    def _end_all(self) -> None:
        self.is_over = True
        for process in [
            self._people,
            self.companions,
            *(one.process for one in self.servers if one),
            *(one.process for one in self.runners.values()),
        ]:
            process.kill()
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()
