"""The context of a task: what it offers during `execute`, and what the runner reads afterwards."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest

from tilebox._core.tasks.context import Lazy, TaskContext
from tilebox._core.tasks.current_task import CurrentTask, TaskJob, TaskLogger
from tilebox._core.tasks.task import Task

TASK, JOB = UUID(int=1), UUID(int=2)


class Step(Task):
    number: int


def make(**options):
    current = CurrentTask(id=TASK, display="Step", job=TaskJob(JOB, "a job"), retry_count=1, max_retries=3)
    return TaskContext(**{"current_task": current, "cluster": "home", "cache": {}, **options})


def reported(context):
    return {update.label: (update.done, update.total) for update in context.progress_updates()}


def test_a_task_knows_itself_and_its_job():
    task = make().current_task
    assert (task.id, task.job.id, task.job.name, task.retry_count, task.max_retries) == (TASK, JOB, "a job", 1, 3)


@pytest.mark.parametrize(
    ("display", "expected"),
    [
        ("Leaf Nr. 1", "Leaf Nr. 1"),
        ("two\nlines", "two\nlines"),
        ("x" * 1025, "x" * 1024),
        (5, "5"),
        ("a\ud800b", "a?b"),
    ],
)
def test_the_display_is_changed_by_assigning_it(display, expected):
    context = make()
    context.current_task.display = display
    assert context.current_task.reported_display == expected


def test_the_job_cannot_be_changed():
    with pytest.raises(AttributeError):
        make().current_task.job.name = "other"


def test_the_cache_and_the_runner_context_are_passed_on():
    cache, connection = {"key": b"value"}, object()
    context = make(cache=cache, runner_context=connection)
    assert context.job_cache is cache
    assert context.runner_context is connection


def test_lazy_values_are_computed_on_first_use_and_shared_by_threads():
    together = Barrier(4)

    def make_task():
        together.wait(300)
        return CurrentTask(id=TASK, display="Step", job=TaskJob(JOB, "a job"))

    task, cache = Lazy(make_task), Lazy(dict)
    context = make(current_task=task, cache=cache)
    assert (task.is_computed, cache.is_computed) == (False, False)
    with ThreadPoolExecutor(4) as threads:
        seen = list(threads.map(lambda _: context.current_task, range(4)))
    assert {id(one) for one in seen} == {id(context.current_task)}
    assert context.logger.extra == {"task_id": str(TASK), "job_id": str(JOB)}
    assert context.job_cache is context.job_cache
    assert (task.is_computed, cache.is_computed) == (True, True)


def test_subtasks_are_collected():
    context = make()
    first = context.submit_subtask(Step(1), max_retries=2)
    second, third = context.submit_subtasks([Step(2), Step(3)], depends_on=[first], cluster="other", optional=True)
    context.submit_subtask(Step(4), depends_on=[second, third])
    assert [future.index for future in (first, second, third)] == [0, 1, 2]
    message = context.subtasks.to_message()
    assert [list(group.inputs) for group in message.task_groups] == [[b"1"], [b"2", b"3"], [b"4"]]
    assert list(message.task_groups[1].optional_values) == [True, True]
    assert list(message.cluster_slug_lookup) == ["home", "other"]


def test_the_old_name_for_several_still_works():
    context = make()
    with pytest.warns(DeprecationWarning, match="write submit_subtasks") as warned:
        futures = context.submit_batch([Step(1), Step(2)], "other", 4)
    assert warned[0].filename == __file__
    assert len(futures) == 2
    assert list(context.subtasks.to_message().task_groups[0].max_retries_values) == [4, 4]


def test_after_the_end_nothing_is_submitted():
    context = make()
    context.submit_subtask(Step(1))
    context.close()
    with pytest.raises(RuntimeError, match="the task has ended"):
        context.submit_subtask(Step(2))
    assert len(context.subtasks) == 1


# Progress


def test_progress_is_summed_by_label():
    context = make()
    context.progress("read").add(10)
    context.progress("read").done(4)
    context.progress("read").done(1)
    context.progress().add(2)
    assert reported(context) == {"read": (5, 10), "": (0, 2)}


def test_no_label_means_the_empty_label():
    context = make()
    assert context.progress() is context.progress(None) is context.progress("")


def test_without_progress_nothing_is_reported():
    assert make().progress_updates() == []


def test_many_small_steps_are_all_counted():
    tracker = make().progress()
    for _ in range(10_000):
        tracker.done(3)
    assert tracker.to_message().done == 30_000
    assert len(tracker._done._parts) < 300


def test_threads_count_into_one_sum():
    context, together = make(), Barrier(8)
    interval = sys.getswitchinterval()

    def count(_):
        together.wait()
        for _ in range(5000):
            context.progress("pixels").done(1)
            context.progress("pixels").add(2)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(count, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert reported(context) == {"pixels": (40_000, 80_000)}


def test_labels_have_a_length_and_a_number():
    context = make()
    context.progress("ä" * 100).add(1)
    with pytest.raises(ValueError, match="at most 100 characters"):
        context.progress("x" * 101)
    for number in range(999):
        context.progress(str(number))
    with pytest.raises(ValueError, match="at most 1000 labels"):
        context.progress("one more")
    context.progress("998").add(1)
    assert len(context.progress_updates()) == 1000


@pytest.mark.parametrize(
    ("label", "error", "message"),
    [
        (5, TypeError, "a label must be a string, not 5"),
        (b"x", TypeError, "a label must be a string, not b'x'"),
        ("\ud800", ValueError, "cannot be encoded in UTF-8"),
    ],
)
def test_labels_are_text(label, error, message):
    with pytest.raises(error, match=message):
        make().progress(label)


@pytest.mark.parametrize(("count", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)])
def test_progress_is_counted_in_whole_numbers_forwards(count, error):
    tracker = make().progress()
    with pytest.raises(error):
        tracker.add(count)
    with pytest.raises(error):
        tracker.done(count)
    assert tracker.to_message().ByteSize() == 0


def test_progress_beyond_64_bits_is_capped():
    tracker = make().progress()
    tracker.add(2**64)
    assert tracker.to_message().total == 2**64 - 1


def test_the_repr_of_progress():
    tracker = make().progress("read")
    tracker.add(3)
    assert repr(tracker) == "<read: 0 of 3>"


# Logs and spans


def test_records_carry_ids_and_fields(caplog):
    with caplog.at_level(logging.INFO, logger="tilebox.workflows.tasks"):
        make().logger.info("read %s", "S2A", product="L1C", name="x", message="y")
    [record] = caplog.records
    assert record.name == "tilebox.workflows.tasks"
    assert record.getMessage() == "read S2A"
    assert (record.task_id, record.job_id) == (str(TASK), str(JOB))
    assert record.fields == {"product": "L1C", "name": "x", "message": "y"}
    assert record.funcName == "test_records_carry_ids_and_fields"


def test_keyword_arguments_of_logging_still_work(caplog):
    try:
        raise KeyError("x")
    except KeyError:
        make().logger.exception("failed", extra={"attempt": 2}, tile=5)
    [record] = caplog.records
    assert record.exc_info[0] is KeyError
    assert (record.attempt, record.fields) == (2, {"tile": 5})


def test_a_given_logger_is_used(caplog):
    make(logger=logging.getLogger("mine")).logger.warning("hello")
    assert [(record.name, record.task_id) for record in caplog.records] == [("mine", str(TASK))]
    adapter = logging.LoggerAdapter(logging.getLogger("wrapped"), {})
    assert make(logger=adapter).logger.logger.name == "wrapped"
    ready = TaskLogger(logging.getLogger("ready"), {})
    assert make(logger=ready).logger is ready


def test_without_tracing_spans_do_nothing():
    with make().tracer.span("read") as span:
        assert span is None


def test_a_tracer_is_passed_on():
    tracer = object()
    assert make(tracer=tracer).tracer is tracer
