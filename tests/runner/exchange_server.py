"""A server for tests of runners, with a minimal workflow API over real sockets and scripted faults.

It keeps everything in memory: a queue, numbered leases, and reports. Subtasks of computed tasks join the queue. Tests
wait for its state with `wait_for`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, task_pb2, workflows_pb2
from tilebox._core.wire import status

# Only a test that hangs takes this long, even on a busy machine.
WAIT_SECONDS = 100
LEASE_SECONDS = 60.0
EXTEND_AFTER_SECONDS = 20.0
JOB_ID = bytes(range(16))


@dataclass
class Given:
    """A task and its outcomes."""

    task_id: bytes
    name: str
    input: bytes
    version: str = "v0.0"
    lease_number: int = 0
    leased_until: float | None = None
    holder: bytes = b""
    retry_count: int = 0
    max_retries: int = 0
    outcomes: list = field(default_factory=list)

    @property
    def is_leased(self):
        return self.leased_until is not None


class Held:
    """A blocked call: one event for its arrival, one for its release."""

    def __init__(self):
        self.asked = threading.Event()
        self.released = threading.Event()


class ExchangeServer:
    """A server that starts at once. `stop` and then `start` make an outage at the same address.

    Args:
        extensions: The value of the header that names its extensions.
        lease: The duration of a lease, and the time after which to extend it, in seconds.
        expires: Whether leases that are not extended expire.
        at_least: The number of tasks to assign to a claim if they are available, even if the claim asks for fewer.
    """

    def __init__(
        self,
        *,
        extensions="runners/1",
        lease=(LEASE_SECONDS, EXTEND_AFTER_SECONDS),
        expires=False,
        suggested_seconds=0.01,
        at_least=1,
    ):
        self.extensions = extensions
        self.lease_seconds, self.extend_after_seconds = lease
        self.suggested_seconds = suggested_seconds
        self.expires = expires
        self.at_least = at_least
        self.changed = threading.Condition()
        self.tasks: dict[bytes, Given] = {}
        self.queue: list[Given] = []
        self.claims: dict[bytes, list[Given]] = {}
        self.seen: list[tuple[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.waiting = 0
        self.extended: Counter[bytes] = Counter()
        self.faults: dict[str, list] = {}
        self.is_more_to_come = False
        self.connections = 0
        self._numbers = itertools.count(1)
        self._is_stopping = False
        self._http: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self._is_stopping = False
        handler = type("Handler", (_Handler,), {"server_of_tasks": self})
        self._http = _Http(("127.0.0.1", self.port), handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        """Stop the server and close all connections."""
        with self.changed:
            self._is_stopping = True
            self.changed.notify_all()
        self._http.shutdown()
        self._http.drop_all()
        self._http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def submit(self, name, data=b"", *, max_retries=0, version="v0.0"):
        """Queue a task, and return it."""
        with self.changed:
            given = Given(next(self._numbers).to_bytes(16, "big"), name, data, version, max_retries=max_retries)
            self.tasks[given.task_id] = given
            self.queue.append(given)
            self.changed.notify_all()
        return given

    def wait_for(self, condition):
        """Wait until a condition is true."""
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_SECONDS), "it did not happen in time"

    def reports(self, kind):
        """Return all reports of a kind: computed, failed, returned."""
        with self.changed:
            return [report for given in self.tasks.values() for what, report in given.outcomes if what == kind]

    def hold(self, method):
        """Block the next call of a method until `released` is set, then hang up."""
        held = Held()

        def wait():
            held.asked.set()
            assert held.released.wait(WAIT_SECONDS)
            return "hang up"

        with self.changed:
            self.faults[method] = [wait]
        return held

    def count(self, method):
        return sum(name == method for name, _ in self.seen)

    # Responses

    def answer(self, method, body):
        """Return the status and the body of a response, or None to hang up."""
        with self.changed:
            steps = self.faults.get(method)
            fault = steps.pop(0) if steps else None
            self.changed.notify_all()
        if callable(fault):
            fault = fault()
        if fault == "hang up":
            return None
        if isinstance(fault, str) and fault != "hang up after":
            return status.http_status(fault), status.error_body(fault, "as told")
        answer = getattr(self, f"_{method}")(body)
        with self.changed:
            self.changed.notify_all()
        if fault == "hang up after":
            return None
        return 200, answer.SerializeToString()

    def _GetCluster(self, body):  # noqa: N802
        request = workflows_pb2.GetClusterRequest.FromString(body)
        self._note("GetCluster", request)
        return workflows_pb2.Cluster(slug=request.cluster_slug or "default-5GGzdzBZEA3oeD")

    def _Exchange(self, body):  # noqa: N802
        request = runners_pb2.ExchangeRequest.FromString(body)
        self._note("Exchange", request)
        response = runners_pb2.ExchangeResponse()
        with self.changed:
            for report in [*request.computed, *request.failed, *request.returned]:
                response.outcomes.append(self._take(report))
            self.changed.notify_all()
            given = self._claim(request)
            deadline = time.monotonic() + request.wait.ToTimedelta().total_seconds()
            self.waiting += 1
            self.changed.notify_all()
            while (
                not given and not self._is_stopping and (left := deadline - time.monotonic()) > 0 and request.max_tasks
            ):
                self.changed.wait(min(left, 0.05) if self.expires else left)
                given = self._claim(request)
            self.waiting -= 1
            response.is_more_to_come = self.is_more_to_come or any(one.is_leased for one in self.tasks.values())
        names = [(one.name, one.version) for one in request.identifiers]
        for one in given:
            response.tasks.add(
                task_id=one.task_id,
                lease_number=one.lease_number,
                identifier=names.index((one.name, one.version)),
                input=one.input,
                display=one.name,
                retry_count=one.retry_count,
                max_retries=one.max_retries,
            )
        response.jobs.add(job_id=JOB_ID, name="job")
        response.lease.FromNanoseconds(int(self.lease_seconds * 1e9))
        response.extend_after.FromNanoseconds(int(self.extend_after_seconds * 1e9))
        return response

    def _ExtendLeases(self, body):  # noqa: N802
        request = runners_pb2.ExtendLeasesRequest.FromString(body)
        self._note("ExtendLeases", request)
        response = runners_pb2.ExtendLeasesResponse()
        response.extend_after.FromNanoseconds(int(self.extend_after_seconds * 1e9))
        with self.changed:
            for lease in request.leases:
                given = self.tasks[lease.task_id]
                self._expire()
                if given.is_leased and given.lease_number == lease.lease_number:
                    given.leased_until = time.monotonic() + self.lease_seconds
                    self.extended[given.task_id] += 1
                else:
                    response.lost.append(lease)
        return response

    def _ReportDeath(self, body):  # noqa: N802
        request = runners_pb2.ReportDeathRequest.FromString(body)
        self._note("ReportDeath", request)
        response = runners_pb2.ReportDeathResponse()
        with self.changed:
            executing = {(one.task_id, one.lease_number) for one in request.executing}
            for given in self.tasks.values():
                if given.is_leased and given.holder == request.runner_id:
                    is_blamed = (given.task_id, given.lease_number) in executing
                    given.outcomes.append(("crashed", request.cause) if is_blamed else ("returned", None))
                    given.leased_until = None
                    self.queue.append(given)
        return response

    def _NextTask(self, body):  # noqa: N802
        request = task_pb2.NextTaskRequest.FromString(body)
        self._note("NextTask", request)
        with self.changed:
            if request.HasField("computed_task"):
                given = self.tasks[request.computed_task.id.uuid]
                given.outcomes.append(("computed", request.computed_task))
                given.leased_until = None
                self._submit_all(request.computed_task.sub_tasks)
            if not request.HasField("next_task_to_run"):
                return task_pb2.NextTaskResponse()
            names = {(one.name, one.version) for one in request.next_task_to_run.identifiers}
            given = next((one for one in self.queue if (one.name, one.version) in names), None)
            response = task_pb2.NextTaskResponse()
            if given is None:
                response.idling.suggested_idling_duration.FromNanoseconds(int(self.suggested_seconds * 1e9))
                return response
            self._lease(given)
        response.next_task.id.uuid = given.task_id
        response.next_task.identifier.name, response.next_task.identifier.version = given.name, given.version
        response.next_task.input = given.input
        response.next_task.display = given.name
        response.next_task.job.id.uuid = JOB_ID
        response.next_task.job.name = "job"
        response.next_task.lease.lease.FromSeconds(int(self.lease_seconds))
        response.next_task.lease.recommended_wait_until_next_extension.FromSeconds(int(self.extend_after_seconds))
        return response

    def _TaskFailed(self, body):  # noqa: N802
        request = task_pb2.TaskFailedRequest.FromString(body)
        self._note("TaskFailed", request)
        with self.changed:
            given = self.tasks[request.task_id.uuid]
            given.outcomes.append(("failed", request))
            given.leased_until = None
        return task_pb2.TaskStateResponse()

    def _ExtendTaskLease(self, body):  # noqa: N802
        request = task_pb2.TaskLeaseRequest.FromString(body)
        self._note("ExtendTaskLease", request)
        lease = core_pb2.TaskLease()
        with self.changed:
            self.extended[request.task_id.uuid] += 1
            self._expire()
            if not self.tasks[request.task_id.uuid].is_leased:
                return lease
            self.tasks[request.task_id.uuid].leased_until = time.monotonic() + self.lease_seconds
            lease.lease.FromSeconds(int(self.lease_seconds))
            lease.recommended_wait_until_next_extension.FromNanoseconds(int(self.extend_after_seconds * 1e9))
        return lease

    def _note(self, method, request):
        with self.changed:
            self.seen.append((method, request))
            self.changed.notify_all()

    def _claim(self, request):
        if not request.max_tasks:
            return []
        if request.claim_id in self.claims:
            return [one for one in self.claims[request.claim_id] if one.is_leased]
        if request.is_repeated:
            # The first request may still be waiting here; no one reads its response, so it must get no tasks.
            self.claims[request.claim_id] = []
        self._expire()
        names = {(one.name, one.version) for one in request.identifiers}
        given = [one for one in self.queue if (one.name, one.version) in names]
        given = given[: max(request.max_tasks, self.at_least)]
        for one in given:
            self._lease(one)
            one.holder = request.runner_id
        if given:
            self.claims[request.claim_id] = given
        return given

    def _lease(self, given):
        self.queue.remove(given)
        given.lease_number += 1
        given.leased_until = time.monotonic() + self.lease_seconds

    def _expire(self):
        for one in self.tasks.values():
            if self.expires and one.is_leased and one.leased_until < time.monotonic():
                one.leased_until = None
                one.outcomes.append(("expired", one.lease_number))
                self.queue.append(one)

    def _take(self, report):
        given = self.tasks[report.task_id]
        outcome = runners_pb2.ReportOutcome(verdict=runners_pb2.REPORT_VERDICT_ACCEPTED)
        self._expire()
        if not given.is_leased or given.lease_number != report.lease_number:
            is_repeated = any(one == report for _, one in given.outcomes)
            outcome.verdict = runners_pb2.REPORT_VERDICT_REPEATED if is_repeated else runners_pb2.REPORT_VERDICT_STALE
            return outcome
        given.leased_until = None
        if isinstance(report, runners_pb2.ComputedReport):
            given.outcomes.append(("computed", report))
            self._submit_all(report.sub_tasks)
        elif isinstance(report, runners_pb2.FailedReport):
            given.outcomes.append(("failed", report))
            if given.retry_count < given.max_retries and report.kind == runners_pb2.FAILURE_KIND_TASK:
                given.retry_count += 1
                self.queue.append(given)
        else:
            given.outcomes.append(("returned", report))
            self.queue.append(given)
        return outcome

    def _submit_all(self, submissions):
        for group in submissions.task_groups:
            for data, pointer in zip(group.inputs, group.identifier_pointers, strict=True):
                identifier = submissions.identifier_lookup[pointer]
                self.submit(identifier.name, data, version=identifier.version)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *arguments):
        self.open = set()
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.open.discard(request)
        super().shutdown_request(request)

    def drop_all(self):
        for request in list(self.open):
            self.shutdown_request(request)

    def handle_error(self, request, client_address):
        """Log nothing: tests disconnect and drop connections on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server_of_tasks: ExchangeServer

    def setup(self):
        super().setup()
        self.server_of_tasks.connections += 1

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        server = self.server_of_tasks
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        answered = server.answer(self.path.rpartition("/")[2], body)
        if answered is None:
            self.close_connection = True
            return
        code, content = answered
        self.send_response(code)
        kind = "application/proto" if code == 200 else "application/json"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        if server.extensions is not None:
            self.send_header("tilebox-extensions", server.extensions)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_):
        """Log nothing."""
