"""Text and HTML representations of jobs and tasks.

The functions take plain rows, so that the classes that print themselves can import this file without a cycle.
"""

from __future__ import annotations

import base64
import textwrap
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from tilebox._core.jobs.stats import ExecutionStats, Progress

_MAX_CELL_WIDTH = 60
_MAX_ROWS = 100
_LEFT = 'style="text-align: left"'
# In the order in which counts are listed. The colours are those of the diagrams.
_COLOURS = {
    "COMPUTED": "#3fa66b",
    "RUNNING": "#3f7fd9",
    "QUEUED": "#e8b36b",
    "FAILED": "#d9483f",
    "FAILED_OPTIONAL": "#c98a86",
    "SKIPPED": "#a3a3a3",
}
_JOB_COLOURS = {
    "SUBMITTED": _COLOURS["QUEUED"],
    "RUNNING": _COLOURS["RUNNING"],
    "STARTED": _COLOURS["RUNNING"],
    "COMPLETED": _COLOURS["COMPUTED"],
    "FAILED": _COLOURS["FAILED"],
    "CANCELED": _COLOURS["SKIPPED"],
}
_GREY = "#a3a3a3"
_INDENT = "\N{EM SPACE}"
_JOB_TITLES = ("name", "state", "submitted at", "tasks", "id")
_TASK_TITLES = ("task", "state", "time", "attempts", "error")


class JobRow(NamedTuple):
    """The printed facts of a job.

    Args:
        id: The id of the job.
        name: The name of the job.
        state: The name of its state.
        submitted_at: The time of its submission, or None if it is unknown.
        stats: Statistics of its execution so far.
        progress: The progress that its tasks report, by label.
    """

    id: UUID
    name: str
    state: str
    submitted_at: datetime | None
    stats: ExecutionStats
    progress: Sequence[Progress]


class TaskRow(NamedTuple):
    """The printed facts of a task.

    Args:
        display: The label of the task, followed by its error in further lines.
        state: The name of its state.
        run_time: The duration of its last attempt, or None if it has not ended.
        failed_attempts: The number of failed attempts.
        depth: The number of ancestors in the tree.
    """

    display: str
    state: str
    run_time: timedelta | None
    failed_attempts: int
    depth: int


def counts_text(stats: ExecutionStats) -> str:
    """Return a prefix such as `3 of 5 tasks computed, 1 failed, `; the empty string if no task is known."""
    if not stats.total_tasks:
        return ""
    computed = f"{_count(stats, 'COMPUTED')} of {stats.total_tasks} tasks computed"
    others = [f"{_count(stats, state)} {_words(state)}" for state in _COLOURS if _count(stats, state)]
    return ", ".join([computed, *(other for other in others if not other.endswith(" computed"))]) + ", "


def jobs_text(jobs: Sequence[JobRow]) -> str:
    """Return an aligned table of jobs."""
    rows = [_JOB_TITLES, *((_short(name), *rest) for name, *rest in map(_job_cells, jobs[:_MAX_ROWS]))]
    return "\n".join([_with_noun(len(jobs), "job"), *_aligned(rows), *_more(len(jobs))])


def tasks_text(tasks: Sequence[TaskRow]) -> str:
    """Return an aligned table of tasks, indented as a tree, with errors in the last column."""
    rows: list[tuple[str, ...]] = [_TASK_TITLES]
    for name, *between, error in (_task_cells(task, "  ") for task in tasks[:_MAX_ROWS]):
        rows.append((_short(name), *between, _short(error)))
    return "\n".join([_with_noun(len(tasks), "task"), *_aligned(rows), *_more(len(tasks))])


def job_html(job: JobRow, diagram: str | None = None) -> str:
    """Return HTML with the name, state, task counts and progress of a job, and its diagram if given.

    Args:
        job: The job.
        diagram: The diagram as SVG.
    """
    chip = f"background: {_JOB_COLOURS.get(job.state, _GREY)}; color: white; border-radius: 4px; padding: 1px 6px"
    head = f'<p><strong>{escape(job.name)}</strong> <span style="{chip}">{job.state}</span> <code>{job.id}</code></p>'
    facts = [
        text
        for text in (
            counts_text(job.stats).removesuffix(", "),
            f"submitted {_time(job.submitted_at)}" if job.submitted_at else "",
            _took(job.stats),
        )
        if text
    ]
    parts = [head, _stacked(job.stats), *map(_progress_html, job.progress)]
    if facts:
        parts.append(f"<p>{escape(' · '.join(facts))}</p>")
    if diagram is not None:
        parts.append(_image(diagram, job.name))
    return "".join(parts)


def jobs_html(jobs: Sequence[JobRow]) -> str:
    """Return an HTML table of jobs."""
    return _table(_JOB_TITLES, map(_job_cells, jobs[:_MAX_ROWS]), len(jobs))


def tasks_html(tasks: Sequence[TaskRow]) -> str:
    """Return an HTML table of tasks, indented as a tree."""
    return _table(_TASK_TITLES, (_task_cells(task, _INDENT) for task in tasks[:_MAX_ROWS]), len(tasks))


def first_line(display: str) -> str:
    """Return the first line of a task's display; an error may follow it."""
    return display.partition("\n")[0]


def _job_cells(job: JobRow) -> tuple[str, ...]:
    return job.name, job.state, _time(job.submitted_at), _computed(job.stats), str(job.id)


def _task_cells(task: TaskRow, indent: str) -> tuple[str, ...]:
    return (
        f"{indent * task.depth}{first_line(task.display)}",
        task.state,
        _seconds(task.run_time),
        f"{task.failed_attempts} failed" if task.failed_attempts else "",
        _error(task),
    )


def _count(stats: ExecutionStats, state: str) -> int:
    # The keys are a StrEnum, so their names find them.
    return stats.tasks_by_state.get(state, 0)  # type: ignore[call-overload, no-any-return]


def _computed(stats: ExecutionStats) -> str:
    return f"{_count(stats, 'COMPUTED')}/{stats.total_tasks}" if stats.total_tasks else ""


def _words(state: str) -> str:
    return state.lower().replace("_", " ")


def _took(stats: ExecutionStats) -> str:
    if not stats.elapsed_time:
        return ""
    return f"{_seconds(stats.elapsed_time)} elapsed, {stats.parallelism:.1f} tasks at a time"


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _seconds(span: timedelta | None) -> str:
    if span is None:
        return ""
    seconds = span.total_seconds()
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _error(task: TaskRow) -> str:
    return " ".join(task.display.partition("\n")[2].split()) if "FAILED" in task.state else ""


def _short(text: str) -> str:
    return text if len(text) <= _MAX_CELL_WIDTH else f"{text[: _MAX_CELL_WIDTH - 2]} …"


def _with_noun(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _more(count: int) -> list[str]:
    return [f"  … and {count - _MAX_ROWS:,} more"] if count > _MAX_ROWS else []


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    if len(rows) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [textwrap.indent(line.rstrip(), "  ") for line in lines]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], count: int) -> str:
    head = "".join(f"<th {_LEFT}>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td {_LEFT}>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    more = "".join(f"<p>{escape(line.strip())}</p>" for line in _more(count))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _stacked(stats: ExecutionStats) -> str:
    """Return a stacked bar with one segment per state."""
    if not stats.total_tasks:
        return ""
    segments = "".join(
        f'<div title="{_count(stats, state)} {_words(state)}" style="background: {colour}; '
        f'width: {100 * _count(stats, state) / stats.total_tasks:.2f}%"></div>'
        for state, colour in _COLOURS.items()
        if _count(stats, state)
    )
    return f'<div style="display: flex; height: 10px; max-width: 480px; background: #eeeeee">{segments}</div>'


def _progress_html(progress: Progress) -> str:
    label = f"{escape(progress.label)}: " if progress.label else ""
    bar = f'<progress max="{max(progress.total, 1)}" value="{progress.done}"></progress>'
    return f"<div>{label}{bar} {progress.done:,} of {progress.total:,}</div>"


def _image(svg: str, name: str) -> str:
    """Return an SVG as an image element, so that its styles and scripts do not affect the notebook."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="diagram of {escape(name)}" style="max-width: 100%" src="data:image/svg+xml;base64,{data}">'
