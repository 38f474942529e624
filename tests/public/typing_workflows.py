"""Tasks as a typed program writes them; checked by mypy, never run."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, assert_type
from uuid import UUID

from tilebox._core.runner.registry import Registry
from tilebox._core.tasks.inputs.serialization import deserialize, serialize
from tilebox.workflows import ExecutionContext, FutureTask, Retry, Task


class Mode(enum.Enum):
    FAST = "fast"
    EXACT = "exact"


@dataclass
class Scene:
    name: str
    acquired: date


class Mosaic(Task):
    scenes: list[Scene]
    mode: Mode = Mode.FAST
    options: dict[str, int] = field(default_factory=dict)
    retry: ClassVar[Retry] = Retry(delay_seconds=5, jitter=0.5)

    def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"Mosaic({len(self.scenes)})"
        progress = context.progress("scenes")
        progress.add(len(self.scenes))
        reads = [context.submit_subtask(ReadScene(scene.name), max_retries=3) for scene in self.scenes]
        assert_type(reads, list[FutureTask])
        merged = context.submit_subtask(Merge(), depends_on=reads, cluster="gpu")
        context.submit_subtask(Publish(name="mosaic"), depends_on=merged, optional=True)
        more = context.submit_subtasks([ReadScene("a"), Merge()], depends_on=[merged])
        assert_type(more, list[FutureTask])
        progress.done(1)


class ReadScene(Task):
    name: str

    async def execute(self, context: ExecutionContext) -> None:
        context.job_cache[self.name] = b"data"
        with context.tracer.span("read"):
            context.logger.info("read", name=self.name, exc_info=False)
        for key in context.job_cache.group("scenes"):
            assert_type(context.job_cache[key], bytes)


class Merge(Task):
    @staticmethod
    def identifier() -> tuple[str, str]:
        return "example.org/Merge", "v1.3"

    def execute(self, context: ExecutionContext) -> None:
        assert_type(context.current_task.job.id, UUID)


class Publish(Task):
    name: str

    @classmethod
    def identifier(cls) -> tuple[str, str]:
        return f"example.org/{cls.__name__}", "v2.0"

    def execute(self, context: ExecutionContext):  # type: ignore[no-untyped-def]  # as the documentation writes it
        print(self.name)


class PublishLoudly(Publish):
    volume: float = 1.0


def program() -> None:
    Mosaic([Scene("a", date(2024, 1, 2))], Mode.EXACT)
    Mosaic(scenes=[], options={"a": 1})
    PublishLoudly("a", volume=2.0)
    assert_type(ReadScene("a").name, str)
    assert_type(deserialize(ReadScene, serialize(ReadScene("a"))), ReadScene)
    Registry([Mosaic, ReadScene, Merge, Publish])


def mistakes(context: ExecutionContext) -> None:
    ReadScene()  # type: ignore[call-arg]
    ReadScene(5)  # type: ignore[arg-type]
    ReadScene("a", "b")  # type: ignore[call-arg]
    Mosaic([], mode="fast")  # type: ignore[arg-type]
    context.submit_subtask(ReadScene)  # type: ignore[arg-type]
    context.submit_subtask(Merge(), depends_on=[Merge()])  # type: ignore[list-item]
    context.submit_subtask(Merge(), max_retries="3")  # type: ignore[arg-type]
    context.job_cache["key"] = "text"  # type: ignore[assignment]
    context.current_task.job.name = "other"  # type: ignore[misc]
