# Generated from tilebox/aio/workflows/submitting.py by scripts/unasync.py; do not edit.
"""Steps around the submission of a job: its unique trace parent, and the search for a job whose response was lost."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from tilebox._core.jobs import arguments, workflow_calls
from tilebox._io.http.errors import was_sent
from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilebox._core.protocol.workflows.v1 import core_pb2
    from tilebox.sync.transport import Transport
    from tilebox.errors import TransportError

_TRACER = "tilebox.com/observability"


@contextmanager
def submission_trace(job_name: str) -> Iterator[str]:
    """Provide a unique trace parent: that of a new span if spans are recorded, or else a random one."""
    random = SystemRandom()
    # A program that has not imported OpenTelemetry has not configured it either.
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield arguments.make_trace_parent(random)
        return
    with trace.get_tracer(_TRACER).start_as_current_span(f"job/{job_name}") as span:
        context = span.get_span_context()
        if span.is_recording():
            yield f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        elif context.is_valid:
            yield arguments.make_trace_parent(random, trace_id=context.trace_id, flags=context.trace_flags)
        else:
            yield arguments.make_trace_parent(random)


def find_submitted(
    transport: Transport, name: str, trace_parent: str, error: TransportError
) -> core_pb2.Job | None:
    """Return the job of a submission without a response; None if it was never sent, or with a note on the error."""
    if not was_sent(error):
        return None
    filters = arguments.job_filters(None, None, None, name[: arguments.MAX_NAME], None, None)
    try:
        answer = transport.call(workflow_calls.query_jobs(filters))
    except TileboxError as query_error:
        error.add_note(f"it is unknown whether the job was submitted, because the query for it failed: {query_error}")
        return None
    for message in answer.jobs:
        if message.trace_parent == trace_parent:
            return message
    error.add_note(
        "the job was not found; before you submit it again, check that it has not arrived late: "
        f"jobs.query(name={name!r})"
    )
    return None
