"""The history of a seed as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.runner.exchanges import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulation.plan import GroupPlan, Plan


def render(plan: Plan, history: Sequence[tuple[float, str, Any]], labels: dict[bytes, str]) -> str:
    """Return the plan and the history, one line for each job, task and event."""
    return "\n".join(_lines(plan, history, labels))


def _lines(plan: Plan, history: Sequence[tuple[float, str, Any]], labels: dict[bytes, str]) -> Iterator[str]:
    for job in plan.jobs:
        yield f"job {job.name}, submitted at {job.at:.3f}, canceled at {job.canceled_at}, retried: {job.is_retried}"
        yield from _tree(job.groups, "  ")
    yield f"{len(plan.runners)} runners, {plan.servers} servers, {plan.faults}"
    for seconds, actor, event in history:
        yield f"{seconds:9.3f}  {actor:<12} {_describe(event, labels)}"


def _tree(groups: Sequence[GroupPlan], indent: str) -> Iterator[str]:
    for number, group in enumerate(groups):
        for task in group.tasks:
            optional = ", optional" if task.is_optional else ""
            yield (
                f"{indent}{task.label} in group {number} after {group.dependencies}: {task.outcomes}, "
                f"{task.seconds} s, {task.max_retries} retries{optional}"
            )
            yield from _tree(task.groups, indent + "  ")


def _describe(event: Any, labels: dict[bytes, str]) -> str:
    if isinstance(event, tuple):
        task, lease, kind, detail = event
        return f"{kind} {labels.get(task, task.hex())}, lease {lease}: {detail}"
    if isinstance(event, Exchange):
        reports = [
            f"{type(report).__name__} {labels.get(report.task_id, report.task_id.hex())}, lease {report.lease_number}"
            for report in event.ordered()
        ]
        again = " again" if event.is_repeated else ""
        return f"asks{again} for {event.max_tasks} tasks, claim {event.claim_id.hex()[:6]}, with {reports}"
    if isinstance(event, runners_pb2.ExchangeResponse):
        tasks = [f"{task.input.decode()}, lease {task.lease_number}" for task in event.tasks]
        prefix = len("REPORT_VERDICT_")
        verdicts = [runners_pb2.ReportVerdict.Name(outcome.verdict)[prefix:] for outcome in event.outcomes]
        return f"gets the verdicts {verdicts} and the tasks {tasks}"
    return str(event)
