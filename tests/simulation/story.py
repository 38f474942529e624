"""The history of a seed, to be read by people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.runner.exchanges import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulation.chance import GroupPlan, Plan


def tell(plan: Plan, history: Sequence[tuple[float, str, Any]], labels: dict[bytes, str]) -> str:
    """Return what was planned, and all that happened, a line each."""
    return "\n".join(_lines(plan, history, labels))


def _lines(plan: Plan, history: Sequence[tuple[float, str, Any]], labels: dict[bytes, str]) -> Iterator[str]:
    for job in plan.jobs:
        yield f"job {job.name}, submitted at {job.at:.3f}, canceled at {job.canceled_at}, retried: {job.is_retried}"
        yield from _tree(job.groups, "  ")
    yield f"{len(plan.runners)} runners, {plan.servers} servers, {plan.faults}"
    for seconds, who, what in history:
        yield f"{seconds:9.3f}  {who:<12} {_words(what, labels)}"


def _tree(groups: Sequence[GroupPlan], indent: str) -> Iterator[str]:
    for number, group in enumerate(groups):
        for task in group.tasks:
            optional = ", optional" if task.is_optional else ""
            yield (
                f"{indent}{task.label} in group {number} after {group.dependencies}: {task.outcomes}, "
                f"{task.seconds} s, {task.max_retries} retries{optional}"
            )
            yield from _tree(task.groups, indent + "  ")


def _words(what: Any, labels: dict[bytes, str]) -> str:
    if isinstance(what, tuple):
        task, lease, kind, more = what
        return f"{kind} {labels.get(task, task.hex())}, lease {lease}: {more}"
    if isinstance(what, Exchange):
        reports = [
            f"{type(one).__name__} {labels.get(one.task_id, one.task_id.hex())}, lease {one.lease_number}"
            for one in what.ordered()
        ]
        again = " again" if what.is_repeated else ""
        return f"asks{again} for {what.max_tasks} tasks, claim {what.claim_id.hex()[:6]}, with {reports}"
    if isinstance(what, runners_pb2.ExchangeResponse):
        tasks = [f"{one.input.decode()}, lease {one.lease_number}" for one in what.tasks]
        verdicts = [runners_pb2.ReportVerdict.Name(one.verdict)[len("REPORT_VERDICT_") :] for one in what.outcomes]
        return f"is answered {verdicts}, and handed {tasks}"
    return str(what)
