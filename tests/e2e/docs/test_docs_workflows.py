"""The documented snippets of the workflows guides and reference, against a local server.

Each test is one section of a page, and says by their first words which snippets it runs. Line breaks, which the
text copy of the documentation lost, are put back; news, dogs and movies come from a server of this machine;
`run_forever` is stopped from outside, since the pages never do. Recurrent tasks, logging and tracing are left out.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx
import pytest
from e2e.docs.documentation import covers, snippets_of_workflows, unclaimed
from e2e.docs.web_services import web_services
from support.caches.buckets import gcs_url, s3_url

from tilebox.errors import ConflictError, NotFoundError
from tilebox.workflows import Client, Cluster, ExecutionContext, JobClient, Task, TaskIdentifier, TaskRunner
from tilebox.workflows.cache import AmazonS3Cache, GoogleStorageCache, InMemoryCache, LocalFileSystemCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from tilebox.testing import LocalServer

__all__ = ["gcs_url", "s3_url"]  # fixtures

SECONDS = 600

MY_WORKFLOW = '''
"""What the pages import as "your own workflow"."""

import socket

from tilebox.workflows import ExecutionContext, Task


class MyTask(Task):
    message: str = "Hello"
    value: int | str = 0
    data: dict[str, str] | None = None

    def execute(self, context: ExecutionContext) -> None:
        print(f"{self.message} {self.value}", flush=True)


class OtherTask(Task):
    port: int

    def execute(self, context: ExecutionContext) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as held:
            held.recv(1)


class MyFlakyTask(Task):
    def execute(self, context: ExecutionContext) -> None:
        print(f"attempt {context.current_task.retry_count}", flush=True)
        if context.current_task.retry_count < 5:
            raise ConnectionError("not yet")
'''


@pytest.fixture(scope="module")
def documented_server(module_server: LocalServer) -> LocalServer:
    """A server with the clusters that the pages have."""
    clusters = Client(module_server.url, module_server.token).clusters()
    for name, slug in [
        ("dev-cluster", "dev-cluster"),
        ("my-cluster", "my-cluster-EdsdUozYprBJDL"),
        ("gpu-cluster", "gpu-cluster-slug"),
        ("testing", "testing-CvufcSxcC9SKfe"),
        ("Production", "production-EifhUozDpwAJDL"),
        ("other-cluster", "other-cluster-As3dcSb3D9SAdK"),
    ]:
        clusters.create(name, slug=slug)
    return module_server


@pytest.fixture(autouse=True)
def _environment(
    documented_server: LocalServer,
    use: Callable[[LocalServer], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(documented_server)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def my_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module `my_workflow`, to import here and in scripts of this folder."""
    (tmp_path / "my_workflow.py").write_text(MY_WORKFLOW)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_workflow")
    del sys.modules["my_workflow"]


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """The address of what stands in for the web services of the pages."""
    with web_services() as url:
        yield url


@contextmanager
def running_forever(*runners: TaskRunner) -> Iterator[None]:
    """Let runners run while inside, each as a program of its own would; `stop` ends them."""
    threads = [threading.Thread(target=runner.run_forever) for runner in runners]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for runner in runners:
            runner.stop()
        for thread in threads:
            thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)


def run_until_done(jobs: JobClient, job: object, *runners: TaskRunner) -> None:
    """Run until a job has ended well."""
    with running_forever(*runners):
        jobs.wait(job, timeout=SECONDS, show_progress=False, raise_on_failure=True)


# ---- API reference --------------------------------------------------------------------------------------------


@covers("class Client(", "def Client.jobs()", "def Client.clusters()", "def Client.recurrent_tasks()")
@covers("def Client.runner(...)", "from tilebox.workflows import Client # read token from an environment variable")
def test_client_reference(documented_server: LocalServer, my_workflow: ModuleType) -> None:
    # read token from an environment variable
    client = Client()
    # or provide connection details directly
    client = Client(url=documented_server.url, token=documented_server.token)
    # access sub clients
    job_client = client.jobs()
    cluster_client = client.clusters()
    with pytest.raises(NotImplementedError):
        client.recurrent_tasks()  # of a later version
    # or instantiate a task runner
    runner = client.runner("dev-cluster", tasks=[my_workflow.MyTask])
    assert isinstance(runner, TaskRunner)
    assert cluster_client.find("dev-cluster").slug == "dev-cluster"
    assert not job_client.query(name="no such job")


@covers("def Client.runner( cluster", "from tilebox.workflows import Client from tilebox.workflows.cache import")
@covers(
    "class Task: def execute", "def Task.execute(", "@staticmethod def Task.identifier()", "class MyTask(Task): message"
)
@covers("from tilebox.workflows import Task, ExecutionContext class MyFirstTask(Task): def execute(self, context: Exec")
@covers("# run all tasks until no more tasks are available", "def TaskRunner.run_all()")
def test_task_and_runner_reference(capsys: pytest.CaptureFixture[str]) -> None:
    class MyFirstTask(Task):
        def execute(self, context: ExecutionContext):
            print(f"Hello World!")  # noqa: F541 as documented
            context.submit_subtask(MySubtask())

        @staticmethod
        def identifier() -> tuple[str, str]:
            return ("tilebox.workflows.MyTask", "v3.2")

    class MyFirstParameterizedTask(Task):
        name: str
        greet: bool
        data: dict[str, str]

        def execute(self, context: ExecutionContext):
            if self.greet:
                print(f"Hello {self.name}!")

    class MySubtask(Task):
        def execute(self, context: ExecutionContext):
            context.submit_subtask(MyFirstParameterizedTask("Moon", True, {"key": "value"}))

    class MyTask(Task):
        message: str
        value: int
        data: dict[str, int]

    client = Client()
    runner = client.runner(
        "my-cluster-EdsdUozYprBJDL",
        [MyFirstTask, MySubtask, MyFirstParameterizedTask],
        # optional:
        cache=LocalFileSystemCache("cache_directory"),
    )
    job = client.jobs().submit("reference", MyFirstTask(), "my-cluster-EdsdUozYprBJDL")
    # run all tasks until no more tasks are available
    runner.run_all()
    assert capsys.readouterr().out.splitlines() == ["Hello World!", "Hello Moon!"]
    assert [task.display for task in client.jobs().tasks(job)] == [
        "MyFirstTask",
        "MySubtask",
        "MyFirstParameterizedTask",
    ]
    assert MyTask("Hello", 42, {"key": 1}) == MyTask(message="Hello", value=42, data={"key": 1})


@covers(
    "ExecutionContext.job_cache: JobCache", "# within a Tasks execute method, access the job cache # def execute(self"
)
@covers(
    "def ExecutionContext.submit_subtask(", "# within the execute method of a Task: subtask = context.submit_subtask"
)
def test_context_reference() -> None:
    class Root(Task):
        def execute(self, context: ExecutionContext) -> None:
            context.job_cache["some-key"] = b"my-value"
            # within the execute method of a Task:
            subtask = context.submit_subtask(MySubtask())
            dependent_subtask = context.submit_subtask(MyOtherSubtask(), depends_on=[subtask])
            gpu_task = context.submit_subtask(MyGPUTask(), cluster="gpu-cluster-slug")
            flaky_task = context.submit_subtask(MyFlakyTask(), max_retries=5)
            assert len({id(task) for task in (subtask, dependent_subtask, gpu_task, flaky_task)}) == 4

    class MySubtask(Task):
        def execute(self, context: ExecutionContext) -> None:
            assert context.job_cache["some-key"] == b"my-value"

    class MyOtherSubtask(MySubtask):
        pass

    class MyGPUTask(Task):
        def execute(self, context: ExecutionContext) -> None:
            pass

    class MyFlakyTask(Task):
        def execute(self, context: ExecutionContext) -> None:
            if context.current_task.retry_count < 5:
                raise ConnectionError("not yet")

    client = Client()
    job = client.jobs().submit("context", Root(), "dev-cluster")
    client.runner("dev-cluster", [Root, MySubtask, MyOtherSubtask, MyFlakyTask], cache=InMemoryCache()).run_all()
    assert {task.display: task.state for task in client.jobs().tasks(job)} == {
        "Root": "COMPUTED",
        "MySubtask": "COMPUTED",
        "MyOtherSubtask": "COMPUTED",
        "MyGPUTask": "QUEUED",
        "MyFlakyTask": "COMPUTED",
    }
    client.runner("gpu-cluster-slug", [MyGPUTask]).run_all()
    assert client.jobs().find(job).state == "COMPLETED"


@covers("def JobCache.__iter__()", "def JobCache.group(name: str)")
@covers(
    "# within a Tasks execute method, access the job cache # def execute(context: ExecutionContext) cache = context.job_cache # it"
)
@covers(
    "# within a Tasks execute method, access the job cache # def execute(context: ExecutionContext) cache = context.job_cache # us"
)
def test_job_cache_reference(capsys: pytest.CaptureFixture[str]) -> None:
    class Write(Task):
        def execute(self, context: ExecutionContext) -> None:
            cache = context.job_cache
            # use groups to nest related cache values
            group = cache.group("some-group")
            group["value"] = b"my-value"
            nested = group.group("nested")
            nested["value"] = b"nested-value"
            # access nested groups directly via / notation
            value = cache["some-group/nested/value"]
            assert value == b"nested-value"
            cache["top"] = b"top-value"
            context.submit_subtask(Read())

    class Read(Task):
        def execute(self, context: ExecutionContext) -> None:
            cache = context.job_cache
            # iterate over all keys
            for key in cache:
                print(cache[key])
            # or collect as list
            keys = list(cache)
            assert keys == ["top"]
            # also works with nested groups
            for key in cache.group("some-group"):
                print(cache.group("some-group")[key])

    client = Client()
    for cache in (InMemoryCache(), LocalFileSystemCache("cache")):
        job = client.jobs().submit("cache", Write(), "dev-cluster")
        client.runner("dev-cluster", tasks=[Write, Read], cache=cache).run_all()
        assert client.jobs().find(job).state == "COMPLETED"
        assert capsys.readouterr().out.splitlines() == ["b'top-value'", "b'my-value'"]


@covers("def JobClient.submit(", 'from my_workflow import MyTask job = job_client.submit( "my-job", MyTask( message=')
@covers("def JobClient.cancel(", "job_client.cancel(job)", "def JobClient.retry(", "job_client.retry(job)")
@covers("def JobClient.visualize(", "svg = job_client.visualize(job)")
def test_job_client_reference(my_workflow: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    from my_workflow import MyTask

    client = Client()
    job_client = client.jobs()
    job = job_client.submit(
        "my-job",
        MyTask(message="Hello, World!", value=42, data={"key": "value"}),
        "my-cluster-EdsdUozYprBJDL",
        max_retries=0,
    )
    runner = client.runner("my-cluster-EdsdUozYprBJDL", tasks=[MyTask])

    job_client.cancel(job)
    runner.run_all()
    assert job_client.find(job).state == "CANCELED"
    assert capsys.readouterr().out == ""

    job_client.retry(job)
    runner.run_all()
    assert job_client.find(job).state == "COMPLETED"
    assert capsys.readouterr().out == "Hello, World! 42\n"

    svg = job_client.visualize(job)
    Path("diagram.svg").write_text(svg)
    assert "MyTask" in svg
    assert svg.lstrip().startswith(("<?xml", "<svg"))
    job_client.display(job)
    assert "MyTask" in capsys.readouterr().out


@covers("def TaskRunner.run_forever()", "# run forever, until the current process is stopped")
def test_run_forever_reference(my_workflow: ModuleType) -> None:
    client = Client()
    runner = client.runner("dev-cluster", tasks=[my_workflow.MyTask])
    with running_forever(runner):
        for number in range(2):  # it is still there for the second one
            job = client.jobs().submit("forever", my_workflow.MyTask("Hello", number), "dev-cluster")
            assert client.jobs().wait(job, timeout=SECONDS, show_progress=False).state == "COMPLETED"


# ---- Caches ---------------------------------------------------------------------------------------------------


class ProducerTask(Task):
    def execute(self, context: ExecutionContext) -> None:
        # store data in the cache
        context.job_cache["data"] = b"my_binary_data_to_store"
        context.submit_subtask(ConsumerTask())


class ConsumerTask(Task):
    def execute(self, context: ExecutionContext) -> None:
        data = context.job_cache["data"]
        print(f"Read {data} from cache")


PRODUCED = "Read b'my_binary_data_to_store' from cache\n"


@covers("from tilebox.workflows import Client from tilebox.workflows.cache import InMemoryCache client")
@covers("from tilebox.workflows import Task, ExecutionContext class ProducerTask(Task)")
@covers('# submit a job to test our workflow job_client = client.jobs() job_client.submit("testing-cache-access"')
@covers("Read b'my_binary_data_to_store' from cache")
def test_storing_and_retrieving_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for cache in (InMemoryCache(), LocalFileSystemCache(tmp_path / "cache" / "directory")):
        client = Client()
        # submit a job to test our workflow
        job_client = client.jobs()
        job = job_client.submit("testing-cache-access", ProducerTask(), cluster="dev-cluster")
        # start a runner to execute it
        runner = client.runner("dev-cluster", tasks=[ProducerTask, ConsumerTask], cache=cache)
        run_until_done(job_client, job, runner)
        assert capsys.readouterr().out == PRODUCED


@covers(
    'from tilebox.workflows import Client from tilebox.workflows.cache import LocalFileSystemCache client = Client() runner = client.runner( "dev-cluster"'
)
def test_local_file_system_cache(tmp_path: Path) -> None:
    client = Client()
    folder = tmp_path / "path" / "to" / "cache"
    runner = client.runner("dev-cluster", tasks=[ProducerTask, ConsumerTask], cache=LocalFileSystemCache(folder))
    job = client.jobs().submit("files", ProducerTask(), cluster="dev-cluster")
    runner.run_all()
    # Isolated per job: another job's tasks would look elsewhere.
    assert LocalFileSystemCache(folder).group(str(job.id))["data"] == b"my_binary_data_to_store"
    assert list(LocalFileSystemCache(folder)) == []


@pytest.mark.usefixtures("gcs_url")
@covers("from tilebox.workflows import Client from tilebox.workflows.cache import GoogleStorageCache from google.cloud")
def test_google_storage_cache(capsys: pytest.CaptureFixture[str]) -> None:
    from google.cloud.storage import Client as StorageClient

    storage_client = StorageClient(project="gcp-project")
    storage_client.create_bucket("cache-bucket")
    bucket = storage_client.bucket("cache-bucket")
    client = Client()
    runner = client.runner(
        "dev-cluster",
        tasks=[ProducerTask, ConsumerTask],
        cache=GoogleStorageCache(bucket, prefix="jobs"),
    )
    client.jobs().submit("google", ProducerTask(), "dev-cluster")
    runner.run_all()
    assert capsys.readouterr().out == PRODUCED


@covers("from tilebox.workflows import Client from tilebox.workflows.cache import AmazonS3Cache")
def test_amazon_s3_cache(s3_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from botocore.session import Session

    s3 = Session().create_client("s3", endpoint_url=s3_url)
    s3.create_bucket(Bucket="my-bucket-name")
    s3.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    client = Client()
    runner = client.runner(
        "dev-cluster", tasks=[ProducerTask, ConsumerTask], cache=AmazonS3Cache("my-bucket-name", prefix="jobs")
    )
    client.jobs().submit("amazon", ProducerTask(), "dev-cluster")
    runner.run_all()
    assert capsys.readouterr().out == PRODUCED


@covers("from tilebox.workflows import Task, ExecutionContext import random class CacheGroupDemoWorkflow")
@covers('# submit a job to test our workflow job_client = client.jobs() job_client.submit("cache-groups"')
@covers("Sum of all numbers: 284")
def test_groups_and_hierarchical_keys(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    class CacheGroupDemoWorkflow(Task):
        n: int

        def execute(self, context: ExecutionContext):
            # define a cache group key for subtasks
            group_key = "random_numbers"
            produce_numbers = context.submit_subtask(ProduceRandomNumbers(self.n, group_key))
            sum_task = context.submit_subtask(  # noqa: F841 as documented
                PrintSum(group_key),
                depends_on=[produce_numbers],
            )

    class ProduceRandomNumbers(Task):
        n: int
        group_key: str

        def execute(self, context: ExecutionContext):
            for i in range(self.n):
                context.submit_subtask(ProduceRandomNumber(i, self.group_key))

    class ProduceRandomNumber(Task):
        index: int
        group_key: str

        def execute(self, context: ExecutionContext) -> None:
            number = random.randint(0, 100)
            produced.append(number)
            group = context.job_cache.group(self.group_key)
            group[f"key_{self.index}"] = str(number).encode()

    class PrintSum(Task):
        group_key: str

        def execute(self, context: ExecutionContext) -> None:
            group = context.job_cache.group(self.group_key)
            # PrintSum doesn't know how many numbers were produced,
            # instead it iterates over all keys in the cache group
            numbers = []
            for key in group:  # iterate over all stored numbers
                number = group[key]  # read data from cache
                numbers.append(int(number.decode()))  # convert bytes back to int
            print(f"Sum of all numbers: {sum(numbers)}")

    produced: list[int] = []
    client = Client()
    # submit a job to test our workflow
    job_client = client.jobs()
    job = job_client.submit("cache-groups", CacheGroupDemoWorkflow(5), cluster="dev-cluster")
    # start a runner to execute it
    runner = client.runner(
        "dev-cluster",
        tasks=[CacheGroupDemoWorkflow, ProduceRandomNumbers, ProduceRandomNumber, PrintSum],
        cache=LocalFileSystemCache(tmp_path / "cache" / "directory"),
    )
    run_until_done(job_client, job, runner)
    assert len(produced) == 5
    assert capsys.readouterr().out == f"Sum of all numbers: {sum(produced)}\n"


# ---- Clusters -------------------------------------------------------------------------------------------------


@covers("from tilebox.workflows import Client client = Client() clusters = client.clusters()")
@covers('cluster = clusters.create("testing")', "Cluster(slug='testing-CvufcSxcC9SKfe', display_name='testing')")
@covers("all_clusters = clusters.all()", "[Cluster(slug='testing-CvufcSxcC9SKfe', display_name='testing'), Cluster(")
@covers('cluster = clusters.find("testing-', 'clusters.delete("testing-')
def test_managing_clusters(capsys: pytest.CaptureFixture[str]) -> None:
    client = Client()
    clusters = client.clusters()

    cluster = clusters.create("testing")
    print(cluster)
    printed = capsys.readouterr().out
    assert re.fullmatch(r"Cluster\(slug='testing-[1-9A-HJ-NP-Za-km-z]{14}', display_name='testing'\)\n", printed)

    all_clusters = clusters.all()
    print(all_clusters)
    printed = capsys.readouterr().out
    assert "Cluster(slug='testing-CvufcSxcC9SKfe', display_name='testing')" in printed
    assert "Cluster(slug='production-EifhUozDpwAJDL', display_name='Production')" in printed

    cluster = clusters.find("testing-CvufcSxcC9SKfe")
    print(cluster)
    assert capsys.readouterr().out == "Cluster(slug='testing-CvufcSxcC9SKfe', display_name='testing')\n"

    (made,) = (each for each in all_clusters if each.display_name == "testing" and each != cluster)
    clusters.delete(made.slug)
    with pytest.raises(NotFoundError):
        clusters.find(made.slug)
    assert isinstance(cluster, Cluster)


@covers("from tilebox.workflows import Task, ExecutionContext, Client class MultiClusterWorkflow(Task)")
def test_jobs_across_clusters() -> None:
    class MultiClusterWorkflow(Task):
        def execute(self, context: ExecutionContext) -> None:
            # this submits a task to the same cluster as the one currently executing this task
            same_cluster = context.submit_subtask(DummyTask())
            other_cluster = context.submit_subtask(  # noqa: F841 as documented
                DummyTask(),
                # this task runs only on a task runner in the "other-cluster" cluster
                cluster="other-cluster-As3dcSb3D9SAdK",
                # dependencies can be specified across clusters
                depends_on=[same_cluster],
            )

    class DummyTask(Task):
        def execute(self, context: ExecutionContext) -> None:
            pass

    # submit a job to the "testing" cluster
    client = Client()
    job_client = client.jobs()
    job = job_client.submit(
        MultiClusterWorkflow(),
        cluster="testing-CvufcSxcC9SKfe",
    )
    client.runner("testing-CvufcSxcC9SKfe", tasks=[MultiClusterWorkflow, DummyTask]).run_all()
    # It won't execute on a task runner in the "testing" cluster, even if that has the DummyTask registered.
    assert [task.state for task in job_client.tasks(job)] == ["COMPUTED", "COMPUTED", "QUEUED"]
    with pytest.raises(ConflictError):
        client.clusters().delete("other-cluster-As3dcSb3D9SAdK")
    client.runner("other-cluster-As3dcSb3D9SAdK", tasks=[DummyTask]).run_all()
    assert job_client.find(job).state == "COMPLETED"


# ---- Jobs -----------------------------------------------------------------------------------------------------


@covers("from tilebox.workflows import Client client = Client() job_client = client.jobs()")
@covers('# import your own workflow from my_workflow import MyTask cluster = "dev-cluster"')
@covers('job = job_client.submit(\'my-job\', MyTask("some", "parameters"), cluster) print(job.id)')
@covers('job = job_client.find("some-job-id")')
def test_submission_and_retrieval(my_workflow: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    from my_workflow import MyTask

    client = Client()
    job_client = client.jobs()
    cluster = "dev-cluster"
    job = job_client.submit("my-job", MyTask("some", "parameters"), cluster)
    print(job.id)
    # Ids are UUIDs of version 7 or older ULIDs in that form: they begin with the time.
    printed = capsys.readouterr().out.strip()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", printed)
    # Later, in another process or machine, retrieve job info
    found = JobClient(job_client._transport).find(printed)
    assert (found.id, found.name, found.state) == (job.id, "my-job", "SUBMITTED")
    client.runner(cluster, tasks=[MyTask]).run_all()
    assert capsys.readouterr().out == "some parameters\n"

    job = job_client.find(printed)
    assert job.state == "COMPLETED"
    # Then visualize it
    job_client.display(job)
    assert "MyTask" in capsys.readouterr().out


@covers('from my_workflow import MyFlakyTask cluster = "dev-cluster"')
def test_retry_handling_of_a_job(my_workflow: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    from my_workflow import MyFlakyTask

    job_client = Client().jobs()
    cluster = "dev-cluster"
    job = job_client.submit("my-job", MyFlakyTask(), cluster, max_retries=5)
    Client().runner(cluster, tasks=[MyFlakyTask]).run_all()
    assert capsys.readouterr().out.splitlines() == [f"attempt {number}" for number in range(6)]
    assert job_client.find(job).state == "COMPLETED"


@covers("from tilebox.workflows import Task, ExecutionContext class RootTask(Task): num_subtasks: int")
def test_customizing_display_names(capsys: pytest.CaptureFixture[str]) -> None:
    class RootTask(Task):
        num_subtasks: int

        def execute(self, context: ExecutionContext):
            context.current_task.display = f"Root({self.num_subtasks})"
            for i in range(self.num_subtasks):
                context.submit_subtask(SubTask(i))

    class SubTask(Task):
        index: int

        def execute(self, context: ExecutionContext):
            context.current_task.display = f"Leaf Nr. {self.index}"

    client = Client()
    job_client = client.jobs()
    job = job_client.submit("custom-display-names", RootTask(3), "dev-cluster")
    client.runner("dev-cluster", tasks=[RootTask, SubTask]).run_all()
    job_client.display(job)
    printed = capsys.readouterr().out
    drawn = job_client.visualize(job)
    for name in ["Root(3)", "Leaf Nr. 0", "Leaf Nr. 1", "Leaf Nr. 2"]:
        assert name in printed
        assert name in drawn
    assert "SubTask" not in drawn


@covers("job = job_client.submit('my-job', MyTask(), \"dev-cluster\") # After a short while, the job gets canceled")
def test_cancellation(my_workflow: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    from my_workflow import MyTask

    client = Client()
    job_client = client.jobs()
    job = job_client.submit("my-job", MyTask(), "dev-cluster")
    # After a short while, the job gets canceled
    job_client.cancel(job)
    client.runner("dev-cluster", tasks=[MyTask]).run_all()
    assert capsys.readouterr().out == ""
    # A canceled job can be resumed at any time by retrying it.
    job_client.retry(job)
    client.runner("dev-cluster", tasks=[MyTask]).run_all()
    assert capsys.readouterr().out == "Hello 0\n"


@covers(
    "from urllib.parse import urlencode import httpx from tilebox.workflows", "job = job_client.submit('movies-stats'"
)
@covers("The Matrix was released on 31 Mar 1999 Shrek 2", "class PrintMovieStats(Task): title: str")
@covers("job_client.retry(job) job_client.display(job)", "Could not find the release date for Tilebox - The Movie")
def test_retries_of_a_job(web: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    class MoviesStats(Task):
        titles: list[str]

        def execute(self, context: ExecutionContext) -> None:
            for title in self.titles:
                context.submit_subtask(PrintMovieStats(title))

    class PrintMovieStats(Task):
        title: str

        def execute(self, context: ExecutionContext) -> None:
            params = {"t": self.title, "apikey": ""}
            url = f"{web}/omdb/?" + urlencode(params)
            response = httpx.get(url).json()
            # set the display name of the task to the title of the movie:
            context.current_task.display = response["Title"]
            print(f"{response['Title']} was released on {response['Released']}")

    client = Client()
    job_client = client.jobs()
    job = job_client.submit(
        "movies-stats",
        MoviesStats(["The Matrix", "Shrek 2", "Tilebox - The Movie", "The Avengers"]),
        "dev-cluster",
    )
    client.runner("dev-cluster", tasks=[MoviesStats, PrintMovieStats]).run_all()
    assert capsys.readouterr().out.splitlines() == [
        "The Matrix was released on 31 Mar 1999",
        "Shrek 2 was released on 19 May 2004",
    ]
    assert "PrintMovieStats" in caplog.text
    assert "KeyError('Title')" in caplog.text
    assert job_client.find(job).state == "FAILED"
    job_client.display(job)
    assert "FAILED" in capsys.readouterr().out

    class PrintMovieStats(Task):  # type: ignore[no-redef]
        title: str

        def execute(self, context: ExecutionContext) -> None:
            params = {"t": self.title, "apikey": ""}
            url = f"{web}/omdb/?" + urlencode(params)
            response = httpx.get(url).json()
            if "Title" in response and "Released" in response:
                context.current_task.display = response["Title"]
                print(f"{response['Title']} was released on {response['Released']}")
            else:
                context.current_task.display = f"NotFound: {self.title}"
                print(f"Could not find the release date for {self.title}")

    # after redeploying the task runners, you can retry the job:
    job_client.retry(job)
    client.runner("dev-cluster", tasks=[MoviesStats, PrintMovieStats]).run_all()
    # The output confirms that only two tasks were executed, resuming from the point of failure.
    assert capsys.readouterr().out.splitlines() == [
        "Could not find the release date for Tilebox - The Movie",
        "The Avengers was released on 04 May 2012",
    ]
    assert job_client.find(job).state == "COMPLETED"
    job_client.display(job)
    assert "NotFound: Tilebox - The Movie" in capsys.readouterr().out


# ---- Task runners ---------------------------------------------------------------------------------------------

TASK_RUNNER = """
from tilebox.workflows import Client

# your own workflow:
from my_workflow import MyTask, OtherTask


def main():
    client = Client()  # 1. connect to the Tilebox Workflows API
    cluster = "dev-cluster"  # 2. select a cluster to join
    runner = client.runner(
        cluster,
        tasks=[MyTask, OtherTask],  # 3. register tasks
    )
    runner.run_forever()  # 4. listen for new tasks to execute


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@covers(
    "from tilebox.workflows import Client # your own workflow: from my_workflow import MyTask, OtherTask def main()"
)
@covers("> python task_runner.py", "> call-in-parallel -n 5 -- python task_runner.py")
def test_task_runners_in_parallel(my_workflow: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "task_runner.py").write_text(TASK_RUNNER)
    command = [sys.executable, "task_runner.py"]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(5)
    ]
    jobs = Client().jobs()
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(SECONDS)
            port = listener.getsockname()[1]
            submitted = [jobs.submit(my_workflow.OtherTask(port), cluster="dev-cluster") for _ in range(5)]
            # Each runner executes a task at a time, so five that run together are on five runners.
            for held in [listener.accept()[0] for _ in range(5)]:
                held.close()
        submitted += [jobs.submit(my_workflow.MyTask("task", number), cluster="dev-cluster") for number in range(10)]
        for job in submitted:
            jobs.wait(job, timeout=SECONDS, show_progress=False, raise_on_failure=True)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    printed = sorted(line for output in outputs for line in output.splitlines())
    assert printed == sorted(f"task {number}" for number in range(10))
    assert [process.returncode for process in processes] == [0] * 5


@covers("from tilebox.workflows import Task, ExecutionContext class DistributedWorkflow(Task)")
@covers("from tilebox.workflows import Client client = Client() high_network_speed_runner = client.runner(")
@covers("from tilebox.workflows import Client client = Client() gpu_runner = client.runner(")
def test_distributed_execution() -> None:
    executed = []

    class DistributedWorkflow(Task):
        def execute(self, context: ExecutionContext) -> None:
            download_task = context.submit_subtask(DownloadData())
            process_task = context.submit_subtask(  # noqa: F841 as documented
                ProcessData(),
                depends_on=[download_task],
            )

    class DownloadData(Task):
        """
        Download a dataset and store it in a shared internal bucket.
        Requires a good network connection for high download bandwidth.
        """

        def execute(self, context: ExecutionContext) -> None:
            executed.append((context.runner_context, "download"))

    class ProcessData(Task):
        """
        Perform compute-intensive processing of a dataset.
        The dataset must be available in an internal bucket.
        Requires access to a GPU for optimal performance.
        """

        def execute(self, context: ExecutionContext) -> None:
            executed.append((context.runner_context, "process"))

    client = Client()
    high_network_speed_runner = client.runner(
        "dev-cluster", tasks=[DownloadData, DistributedWorkflow], context="high network speed"
    )
    gpu_runner = client.runner("dev-cluster", tasks=[ProcessData, DistributedWorkflow], context="gpu")
    job = client.jobs().submit("distributed", DistributedWorkflow(), "dev-cluster")
    run_until_done(client.jobs(), job, high_network_speed_runner, gpu_runner)
    assert executed == [("high network speed", "download"), ("gpu", "process")]


# ---- Tasks ----------------------------------------------------------------------------------------------------


@covers(
    'from tilebox.workflows import Task, ExecutionContext class MyFirstTask(Task): def execute(self, context: ExecutionContext): print(f"Hello World!")'
)
@covers("class ParametrizableTask(Task): message: str number: int", "class ParentTask(Task): num_subtasks: int")
def test_creating_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    class MyFirstTask(Task):
        def execute(self, context: ExecutionContext):
            print(f"Hello World!")  # noqa: F541 as documented

    class ParametrizableTask(Task):
        message: str
        number: int
        data: dict[str, str]

        def execute(self, context: ExecutionContext):
            print(self.message * self.number)

    class ParentTask(Task):
        num_subtasks: int

        def execute(self, context: ExecutionContext) -> None:
            for i in range(self.num_subtasks):
                context.submit_subtask(ChildTask(i))

    class ChildTask(Task):
        index: int

        def execute(self, context: ExecutionContext) -> None:
            print(f"Executing ChildTask {self.index}")

    client = Client()
    runner = client.runner("dev-cluster", tasks=[MyFirstTask, ParametrizableTask, ParentTask, ChildTask])
    client.jobs().submit("first", MyFirstTask(), "dev-cluster")
    task = ParametrizableTask("Hello", 3, {"key": "value"})
    client.jobs().submit("parameters", task, "dev-cluster")
    runner.run_all()
    assert capsys.readouterr().out.splitlines() == ["Hello World!", "HelloHelloHello"]

    # after submitting this task, a task runner may pick it up and execute it
    # which will result in 5 ChildTasks being submitted and executed as well
    task = ParentTask(5)
    client.jobs().submit("parent", task, "dev-cluster")
    runner.run_all()
    assert capsys.readouterr().out.splitlines() == [f"Executing ChildTask {index}" for index in range(5)]


class DownloadImage(Task):
    url: str

    def execute(self, context: ExecutionContext) -> None:
        file = Path("dogs") / self.url.split("/")[-1]
        response = httpx.get(self.url)
        with file.open("wb") as file:
            file.write(response.content)


@covers("import httpx # pip install httpx from pathlib import Path class DownloadRandomDogImages(Task)")
@covers('from tilebox.workflows import Client client = Client() jobs = client.jobs() job = jobs.submit( "download-dog')
def test_larger_subtasks_example(web: str, capsys: pytest.CaptureFixture[str]) -> None:
    class DownloadRandomDogImages(Task):
        num_images: int

        def execute(self, context: ExecutionContext) -> None:
            url = f"{web}/v1/images/search?limit={self.num_images}"
            response = httpx.get(url)
            for dog_image in response.json():
                context.submit_subtask(DownloadImage(dog_image["url"]))

    client = Client()
    jobs = client.jobs()
    job = jobs.submit("download-dog-images", DownloadRandomDogImages(5), "dev-cluster")
    # now our deployed task runners will pick up the task and execute it
    Path("dogs").mkdir()
    client.runner("dev-cluster", tasks=[DownloadRandomDogImages, DownloadImage]).run_all()
    jobs.display(job)
    assert capsys.readouterr().out.count("DownloadImage") == 5
    assert len(list(Path("dogs").iterdir())) == 5
    # In total, six tasks are executed: the DownloadRandomDogImages task and five DownloadImage tasks.
    assert Counter(task.display for task in jobs.tasks(job)) == {"DownloadRandomDogImages": 1, "DownloadImage": 5}


@covers("class RecursiveTask(Task): num: int", "class DownloadRandomDogImages(Task): num_images: int")
def test_recursive_subtasks(web: str, capsys: pytest.CaptureFixture[str]) -> None:
    class RecursiveTask(Task):
        num: int

        def execute(self, context: ExecutionContext) -> None:
            print(f"Executing RecursiveTask with num={self.num}")
            if self.num >= 2:
                context.submit_subtask(RecursiveTask(self.num // 2))

    class DownloadRandomDogImages(Task):
        num_images: int

        def execute(self, context: ExecutionContext) -> None:
            if self.num_images > 4:
                half = self.num_images // 2
                remaining = self.num_images - half  # account for odd numbers
                context.submit_subtask(DownloadRandomDogImages(half))
                context.submit_subtask(DownloadRandomDogImages(remaining))
            else:
                url = f"{web}/v1/images/search?limit={self.num_images}"
                response = httpx.get(url)
                for dog_image in response.json()[: self.num_images]:
                    context.submit_subtask(DownloadImage(dog_image["url"]))

    client = Client()
    jobs = client.jobs()
    jobs.submit("recursive", RecursiveTask(9), "dev-cluster")
    client.runner("dev-cluster", tasks=[RecursiveTask]).run_all()
    assert capsys.readouterr().out.splitlines() == [f"Executing RecursiveTask with num={n}" for n in (9, 4, 2, 1)]

    Path("dogs").mkdir()
    job = jobs.submit("dogs", DownloadRandomDogImages(9), "dev-cluster")
    client.runner("dev-cluster", tasks=[DownloadRandomDogImages, DownloadImage], concurrency=4).run_all()
    # 9 = 4 + 5, and 5 = 2 + 3
    assert Counter(task.display for task in jobs.tasks(job)) == {"DownloadRandomDogImages": 5, "DownloadImage": 9}
    assert jobs.find(job).state == "COMPLETED"


@covers(
    "import random class RootTask(Task): def execute(self, context: ExecutionContext) -> None: context.submit_subtask(FlakyTask()"
)
def test_retry_handling_of_a_task(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class RootTask(Task):
        def execute(self, context: ExecutionContext) -> None:
            context.submit_subtask(FlakyTask(), max_retries=5)

    class FlakyTask(Task):
        def execute(self, context: ExecutionContext) -> None:
            print(f"Executing FlakyTask")  # noqa: F541 as documented
            if random.random() < 0.1:
                raise Exception("FlakyTask failed randomly")

    thrown = iter([0.05, 0.02, 0.09, 0.5])
    monkeypatch.setattr(random, "random", lambda: next(thrown))
    client = Client()
    job = client.jobs().submit("flaky", RootTask(), "dev-cluster")
    client.runner("dev-cluster", tasks=[RootTask, FlakyTask]).run_all()
    assert capsys.readouterr().out.splitlines() == ["Executing FlakyTask"] * 4
    assert client.jobs().find(job).state == "COMPLETED"


@covers(
    "class RootTask(Task): def execute(self, context: ExecutionContext) -> None: first_task = context.submit_subtask("
)
def test_dependencies(capsys: pytest.CaptureFixture[str]) -> None:
    class RootTask(Task):
        def execute(self, context: ExecutionContext) -> None:
            first_task = context.submit_subtask(PrintTask("Executing first"))
            second_task = context.submit_subtask(
                PrintTask("Executing second"),
                depends_on=[first_task],
            )
            third_task = context.submit_subtask(  # noqa: F841 as documented
                PrintTask("Executing last"),
                depends_on=[second_task],
            )

    class PrintTask(Task):
        message: str

        def execute(self, context: ExecutionContext) -> None:
            print(self.message)

    client = Client()
    client.jobs().submit("dependencies", RootTask(), "dev-cluster")
    client.runner("dev-cluster", tasks=[RootTask, PrintTask], concurrency=4).run_all()
    assert capsys.readouterr().out.splitlines() == ["Executing first", "Executing second", "Executing last"]


@covers(
    "from pathlib import Path import json from collections import Counter import httpx # pip install httpx class News"
)
@covers("2024-02-15: NASA selects ultraviolet astronomy mission but delays its launch two years")
def test_dependencies_example(web: str, capsys: pytest.CaptureFixture[str]) -> None:
    class NewsWorkflow(Task):
        category: str
        max_articles: int

        def execute(self, context: ExecutionContext) -> None:
            fetch_task = context.submit_subtask(FetchNews(self.category, self.max_articles))
            context.submit_subtask(PrintHeadlines(), depends_on=[fetch_task])
            context.submit_subtask(MostFrequentAuthors(), depends_on=[fetch_task])

    class FetchNews(Task):
        category: str
        max_articles: int

        def execute(self, context: ExecutionContext) -> None:
            url = f"{web}/v2/top-headlines?category={self.category}&pageSize={self.max_articles}&country=us&apiKey=KEY"
            news = httpx.get(url).json()
            # check out our documentation page on caches to learn
            # about a better way of passing data between tasks
            Path("news.json").write_text(json.dumps(news))

    class PrintHeadlines(Task):
        def execute(self, context: ExecutionContext) -> None:
            news = json.loads(Path("news.json").read_text())
            for article in news["articles"]:
                print(f"{article['publishedAt'][:10]}: {article['title']}")

    class MostFrequentAuthors(Task):
        def execute(self, context: ExecutionContext) -> None:
            news = json.loads(Path("news.json").read_text())
            authors = [article["author"] for article in news["articles"]]
            for author, count in Counter(authors).most_common():
                print(f"Author {author} has written {count} articles")

    client = Client()
    job_client = client.jobs()
    # now submit a job, and then visualize it
    job = job_client.submit("process-news", NewsWorkflow(category="science", max_articles=5), "dev-cluster")
    client.runner("dev-cluster", tasks=[NewsWorkflow, FetchNews, PrintHeadlines, MostFrequentAuthors]).run_all()
    assert capsys.readouterr().out.splitlines() == [
        "2024-02-15: NASA selects ultraviolet astronomy mission but delays its launch two years - SpaceNews",
        "2024-02-15: SpaceX launches Space Force mission from Cape Canaveral - Orlando Sentinel",
        "2024-02-14: Saturn's largest moon most likely uninhabitable - Phys.org",
        "2024-02-14: AI Unveils Mysteries of Unknown Proteins' Functions - Neuroscience News",
        "2024-02-14: Anthropologists' research unveils early stone plaza in the Andes - Phys.org",
        "Author Jeff Foust has written 1 articles",
        "Author Richard Tribou has written 1 articles",
        "Author Jeff Renaud has written 1 articles",
        "Author Neuroscience News has written 1 articles",
        "Author Science X has written 1 articles",
    ]
    assert len(job_client.tasks(job)) == 4


@covers("class MyTask(Task): def execute(self, context: ExecutionContext) -> None: pass # MyTask has the identifier")
@covers(
    'class MyTask(Task): @staticmethod def identifier() -> tuple[str, str]: return "tilebox.com/example_workflow/MyTask", "v1.3"'
)
def test_identifiers_and_versions() -> None:
    class MyTask(Task):
        def execute(self, context: ExecutionContext) -> None:
            pass

    # MyTask has the identifier "MyTask" and the default version of "v0.0"

    class MyTask2(Task):
        @staticmethod
        def identifier() -> tuple[str, str]:
            return "tilebox.com/example_workflow/MyTask", "v1.0"

        def execute(self, context: ExecutionContext) -> None:
            pass

    # MyTask2 has the identifier "tilebox.com/example_workflow/MyTask" and the version "v1.0"
    client = Client()
    jobs = client.jobs()
    job = jobs.submit("both", [MyTask(), MyTask2()], "dev-cluster")
    assert TaskIdentifier.parse(*MyTask2.identifier()).version == "v1.0"
    assert [waiting.display for waiting in jobs.queued(job)] == ["MyTask", "MyTask2"]
    client.runner("dev-cluster", tasks=[MyTask, MyTask2]).run_all()
    assert jobs.find(job).state == "COMPLETED"

    def of_version(text: str) -> type[Task]:
        class MyTask(Task):
            @staticmethod
            def identifier() -> tuple[str, str]:
                return "tilebox.com/example_workflow/MyTask", text

            def execute(self, context: ExecutionContext) -> None:
                pass

        return MyTask

    # Examples of compatible version numbers include:
    job = jobs.submit("v1.3", of_version("v1.3")(), "dev-cluster")
    for version, executes in [("v1.2", False), ("v2.5", False), ("v1.5", True)]:
        client.runner("dev-cluster", tasks=[of_version(version)]).run_all()
        assert (jobs.find(job).state == "COMPLETED") is executes
    job = jobs.submit("v1.3 again", of_version("v1.3")(), "dev-cluster")
    client.runner("dev-cluster", tasks=[of_version("v1.3")]).run_all()
    assert jobs.find(job).state == "COMPLETED"


def test_no_snippet_is_left_out() -> None:
    snippets = snippets_of_workflows()
    assert len(snippets) > 60
    left_out, never_found = unclaimed(snippets)
    assert not left_out
    assert not never_found
