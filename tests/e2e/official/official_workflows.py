"""What the official workflows SDK, its client and its runner, does against a server of ours.

Runs in the official SDK's environment, not in ours. Arguments: URL, API key, transport, a folder. It ends with exit
code 0 and the word `passed` if all of it works.
"""

# ruff: noqa: I001 - neither pytest nor our package is there where this runs

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from _tilebox.grpc.error import NotFoundError
from tilebox.workflows import Client, ExecutionContext, Task
from tilebox.workflows.cache import InMemoryCache, LocalFileSystemCache
from tilebox.workflows.data import JobState

EFFECTS: list[str] = []


class ParentTask(Task):
    num_subtasks: int

    def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"Parent({self.num_subtasks})"
        for i in range(self.num_subtasks):
            context.submit_subtask(ChildTask(i))


class ChildTask(Task):
    index: int

    def execute(self, context: ExecutionContext) -> None:
        EFFECTS.append(f"child {self.index}")


class RootTask(Task):
    def execute(self, context: ExecutionContext) -> None:
        first = context.submit_subtask(PrintTask("first"))
        second = context.submit_subtask(PrintTask("second"), depends_on=[first])
        context.submit_subtask(PrintTask("last"), depends_on=[second])


class PrintTask(Task):
    message: str

    def execute(self, context: ExecutionContext) -> None:
        EFFECTS.append(self.message)


class Deep(Task):
    num: int

    def execute(self, context: ExecutionContext) -> None:
        EFFECTS.append(f"deep {self.num}")
        if self.num >= 2:
            context.submit_subtask(Deep(self.num // 2))


class DependsOnDeep(Task):
    def execute(self, context: ExecutionContext) -> None:
        deep = context.submit_subtask(Deep(8))
        context.submit_subtask(PrintTask("after deep"), depends_on=[deep])


@dataclass
class Nested:
    name: str
    values: list[float]


class Parametrised(Task):
    message: str
    number: int
    data: dict[str, str]
    nested: Nested
    maybe: int | None = None

    def execute(self, context: ExecutionContext) -> None:
        EFFECTS.append(f"{self.message} {self.number} {self.data} {self.nested.name} {self.nested.values} {self.maybe}")


class Flaky(Task):
    def execute(self, context: ExecutionContext) -> None:
        attempts = [effect for effect in EFFECTS if effect == "flaky"]
        EFFECTS.append("flaky")
        if len(attempts) < 2:
            raise ValueError("not yet")


class Buggy(Task):
    folder: str

    def execute(self, context: ExecutionContext) -> None:
        EFFECTS.append("buggy")
        if not (Path(self.folder) / "fixed").exists():
            raise KeyError("Title")


class Movies(Task):
    folder: str

    def execute(self, context: ExecutionContext) -> None:
        context.submit_subtask(PrintTask("a good one"))
        buggy = context.submit_subtask(Buggy(self.folder))
        context.submit_subtask(PrintTask("after the bug"), depends_on=[buggy])


class Producer(Task):
    def execute(self, context: ExecutionContext) -> None:
        context.job_cache["data"] = b"my_binary_data_to_store"
        context.submit_subtask(Consumer())


class Consumer(Task):
    def execute(self, context: ExecutionContext) -> None:
        EFFECTS.append(context.job_cache["data"].decode())


class MultiCluster(Task):
    other: str

    def execute(self, context: ExecutionContext) -> None:
        here = context.submit_subtask(PrintTask("here"))
        context.submit_subtask(PrintTask("there"), cluster=self.other, depends_on=[here])


class Progressing(Task):
    def execute(self, context: ExecutionContext) -> None:
        context.progress("tiles").add(4)
        context.progress("tiles").done(3)


class Optional(Task):
    def execute(self, context: ExecutionContext) -> None:
        fails = context.submit_subtask(AlwaysFails(), optional=True)
        context.submit_subtask(PrintTask("after the optional one"), depends_on=[fails])


class AlwaysFails(Task):
    def execute(self, context: ExecutionContext) -> None:
        raise RuntimeError("as always")


class Versioned(Task):
    @staticmethod
    def identifier() -> tuple[str, str]:
        return "tilebox.com/example/Versioned", "v1.3"

    def execute(self, context: ExecutionContext) -> None:
        EFFECTS.append("v1.3")


class Newer(Task):
    @staticmethod
    def identifier() -> tuple[str, str]:
        return "tilebox.com/example/Versioned", "v1.5"

    def execute(self, context: ExecutionContext) -> None:
        EFFECTS.append("v1.5")


def main(url: str, token: str, transport: str, folder: str) -> None:
    client = Client(url=url, token=token, transport=transport)
    clusters(client)
    run_default(client)
    run_dependencies(client)
    run_parameters(client)
    run_flaky(client)
    run_failing(client, folder)
    run_cached(client, folder)
    run_clusters(client)
    run_optional(client)
    run_versions(client)
    look(client)
    print("passed")


def run(client, name, root, tasks, **options):
    EFFECTS.clear()
    job = client.jobs().submit(name, root, **options)
    client.runner(tasks=tasks, cache=InMemoryCache()).run_all()
    return client.jobs().find(job.id)


def clusters(client):
    made = client.clusters().create("testing", description="for tests")
    assert made.slug.startswith("testing-"), made
    assert client.clusters().find(made.slug).display_name == "testing"
    assert made.slug in [one.slug for one in client.clusters().all()]
    changed = client.clusters().update(made, name="renamed")
    assert changed.display_name == "renamed"
    client.clusters().delete(made)
    try:
        client.clusters().find(made.slug)
    except NotFoundError:
        pass
    else:
        raise AssertionError("a deleted cluster was found")


def run_default(client):
    job = run(client, "parents", ParentTask(5), [ParentTask, ChildTask])
    assert sorted(EFFECTS) == [f"child {i}" for i in range(5)], EFFECTS
    assert job.state == JobState.COMPLETED, job
    assert job.execution_stats.total_tasks == 6


def run_dependencies(client):
    run(client, "ordered", RootTask(), [RootTask, PrintTask])
    assert EFFECTS == ["first", "second", "last"], EFFECTS
    run(client, "deep", DependsOnDeep(), [DependsOnDeep, Deep, PrintTask])
    assert EFFECTS == ["deep 8", "deep 4", "deep 2", "deep 1", "after deep"], EFFECTS


def run_parameters(client):
    task = Parametrised("Hello", 3, {"key": "value"}, Nested("n", [1.5, 2.0]))
    run(client, "parameters", task, [Parametrised])
    assert EFFECTS == ["Hello 3 {'key': 'value'} n [1.5, 2.0] None"], EFFECTS


def run_flaky(client):
    job = run(client, "flaky", Flaky(), [Flaky], max_retries=5)
    assert EFFECTS == ["flaky"] * 3, EFFECTS
    assert job.state == JobState.COMPLETED


def run_failing(client, folder):
    tasks = [Movies, Buggy, PrintTask]
    fix = Path(folder) / "fixed"
    fix.unlink(missing_ok=True)
    job = run(client, "movies", Movies(folder), tasks)
    assert job.state == JobState.FAILED, job
    assert EFFECTS.count("buggy") == 1
    assert "after the bug" not in EFFECTS
    before = list(EFFECTS)
    fix.touch()
    assert client.jobs().retry(job) == 1
    client.runner(tasks=tasks).run_all()
    assert client.jobs().find(job.id).state == JobState.COMPLETED
    # What had been done is not done again; what was not yet, is done now.
    assert set(before) <= set(EFFECTS)
    assert EFFECTS.count("a good one") == 1, EFFECTS
    assert EFFECTS.count("buggy") == 2, EFFECTS
    assert EFFECTS[-1] == "after the bug", EFFECTS


def run_cached(client, folder):
    EFFECTS.clear()
    client.jobs().submit("cached", Producer())
    client.runner(tasks=[Producer, Consumer], cache=LocalFileSystemCache(Path(folder) / "cache")).run_all()
    assert EFFECTS == ["my_binary_data_to_store"], EFFECTS


def run_clusters(client):
    here, there = client.clusters().create("here"), client.clusters().create("there")
    EFFECTS.clear()
    job = client.jobs().submit("two clusters", MultiCluster(there.slug), cluster=here)
    client.runner(here.slug, tasks=[MultiCluster, PrintTask]).run_all()
    assert EFFECTS == ["here"], EFFECTS
    client.runner(there.slug, tasks=[PrintTask]).run_all()
    assert EFFECTS == ["here", "there"], EFFECTS
    assert client.jobs().find(job.id).state == JobState.COMPLETED


def run_optional(client):
    job = run(client, "optional", Optional(), [Optional, AlwaysFails, PrintTask])
    assert EFFECTS == ["after the optional one"], EFFECTS
    assert job.state == JobState.COMPLETED, job


def run_versions(client):
    job = run(client, "versions", Versioned(), [Newer])
    assert EFFECTS == ["v1.5"], EFFECTS
    assert job.state == JobState.COMPLETED


def look(client):
    name = f"looked at {uuid4().hex[:6]}"
    job = run(client, name, Progressing(), [Progressing])
    (progress,) = job.progress
    assert (progress.label, progress.total, progress.done) == ("tiles", 4, 3)
    found = client.jobs().query(("2020-01-01", "2100-01-01"), name=name)
    assert [one.id for one in found] == [job.id]
    waiting = client.jobs().submit("waits", PrintTask("never"))
    client.jobs().cancel(waiting)
    assert client.jobs().find(waiting.id).state == JobState.CANCELED
    svg = client.jobs().visualize(job)
    assert "<svg" in (svg if isinstance(svg, str) else svg.decode())
    try:
        client.jobs().find(uuid4())
    except NotFoundError:
        pass
    else:
        raise AssertionError("a job was found that nobody submitted")


if __name__ == "__main__":
    main(*sys.argv[1:])
