# Generated from tests/aio/workflows/test_client.py by scripts/unasync.py; do not edit.
"""The client of workflows itself: where it connects to, and what it does not do yet."""

from __future__ import annotations

import logging

import pytest
from support.http.answers import Answers
from worlds.sync import open_workflows

from tilebox._core.protocol.workflows.v1 import workflows_pb2
from tilebox.workflows import Cluster, Task


class Hello(Task):
    def execute(self, context):
        pass


def test_a_client_makes_no_request_of_its_own_accord():
    wire = Answers(ListClusters=workflows_pb2.ListClustersResponse())
    client = open_workflows("http://box:1", "key", wire=wire)
    client.jobs()
    clusters = client.clusters()
    client.runner(tasks=[Hello])
    assert wire.methods == []
    assert clusters.all() == []
    assert repr(client) == "Client(url='http://box:1')"


def test_url_and_key_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TILEBOX_API_URL", "http://box:8080/")
    monkeypatch.setenv("TILEBOX_API_KEY", "secret")
    client = type(open_workflows("http://box:1"))()
    assert repr(client) == "Client(url='http://box:8080')"
    assert client._transport.config.headers == {"authorization": "Bearer secret"}


def test_the_hosted_service_needs_a_key(monkeypatch):
    monkeypatch.delenv("TILEBOX_API_URL", raising=False)
    monkeypatch.delenv("TILEBOX_API_KEY", raising=False)
    kind = type(open_workflows("http://box:1"))
    with pytest.raises(ValueError, match=r"need an API key: pass token=\.\.\., or set TILEBOX_API_KEY"):
        kind()
    assert kind(token="key")
    assert kind("http://localhost:8080")


def test_what_is_not_there_yet_says_so():
    client = open_workflows("http://box:1")
    for missing in (client.recurrent_tasks, client.automations):
        with pytest.raises(NotImplementedError, match=r"recurrent tasks .* are not part of this version yet"):
            missing()
    with pytest.raises(NotImplementedError, match="tracing is not part of this version yet"):
        client.configure_tracing()


def test_a_runner_is_made_for_a_cluster_or_its_slug():
    client = open_workflows("http://box:1")
    for cluster in ("dev", Cluster("dev", "Development")):
        assert "'dev'" in repr(client.runner(cluster, tasks=[Hello], concurrency=2, grace_seconds=5))
    assert "'default'" in repr(client.runner(None, [Hello]))
    with pytest.raises(TypeError, match="a cluster must be a Cluster or a slug"):
        client.runner([Hello])
    with pytest.raises(TypeError, match="nonsense"):
        client.runner(tasks=[Hello], nonsense=1)


@pytest.fixture
def runners():
    """The logger of runners, as it was before afterwards."""
    logger = logging.getLogger("tilebox.workflows.runner")
    parent, level = logger.parent, logger.level
    yield logger
    logger.parent = parent
    logger.setLevel(level)


def test_runners_log_through_a_logger_of_yours(runners):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    mine = logging.getLogger("tests.mine")
    mine.setLevel(logging.INFO)
    mine.addHandler(handler)
    runners.info("not heard")
    client = open_workflows("http://box:1")
    client.configure_logger(mine)
    runners.info("heard")
    runners.debug("too quiet")
    for own in (runners, runners.getChild("own")):
        client.configure_logging(own)
        own.info("heard again")
    mine.removeHandler(handler)
    assert [record.getMessage() for record in records] == ["heard", "heard again", "heard again"]
    with pytest.raises(TypeError, match=r"logger must be a logging\.Logger, not a str"):
        client.configure_logger("mine")
