"""A scripted runner, for messages that a real runner would not send."""

from __future__ import annotations

import time
from uuid import uuid4

from support.http.wire import Wire, submissions, task_group
from survival.harness.invariants import Expectation, Line, check, read_sqlite

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2

ACCEPTED = runners_pb2.REPORT_VERDICT_ACCEPTED
REPEATED = runners_pb2.REPORT_VERDICT_REPEATED
STALE = runners_pb2.REPORT_VERDICT_STALE
LEAF = core_pb2.TaskIdentifier(name="tasks.Leaf", version="v1.0")


class ScriptedRunner:
    """A runner that the test drives message by message, with a log of what it would execute."""

    def __init__(self, server):
        self.server = server
        self.wire = Wire(server.url, server.token)
        self.effects = []
        self.jobs = {}

    def submit(self, *groups, **values):
        job = self.wire.submit_job(*groups, **values)
        self.jobs[job.id.uuid.hex()] = Expectation()
        return job

    def exchange(self, *, computed=(), failed=(), claim=None, count=0, **values):
        request = self.request(computed=computed, failed=failed, claim=claim, count=count, **values)
        return self.wire.call("RunnerService/Exchange", request)

    @staticmethod
    def request(*, runner=b"r" * 16, claim=None, count=0, wait=0.0, **values):
        message = runners_pb2.ExchangeRequest(
            runner_id=runner, claim_id=claim or uuid4().bytes, identifiers=[LEAF], max_tasks=count, **values
        )
        if wait:
            message.wait.FromMilliseconds(int(wait * 1000))
        return message

    def claim(self, count=1, **values):
        tasks = list(self.exchange(count=count, **values).tasks)
        for task in tasks:
            self.note("start", task.task_id)
        return tasks

    def computed(self, task, children=0):
        """Return the report on a computed task with some number of subtasks."""
        self.note("end", task.task_id, children)
        report = runners_pb2.ComputedReport(task_id=task.task_id, lease_number=task.lease_number)
        if children:
            report.sub_tasks.CopyFrom(submissions(task_group(children)))
        return report

    def report(self, *reports, **values):
        answer = self.exchange(computed=reports, **values)
        return [outcome.verdict for outcome in answer.outcomes]

    def note(self, kind, task, submitted=0):
        self.effects.append(Line(kind, task.hex(), "scripted", time.monotonic_ns(), submitted))

    def finish(self):
        """Execute all remaining tasks, and check the invariants."""
        while tasks := self.claim(100):
            assert set(self.report(*[self.computed(task) for task in tasks])) == {ACCEPTED}
        database = read_sqlite(self.server.data_dir / "tilebox.sqlite")
        check(database, self.effects, self.jobs, max_crashes=10)
        return database
