"""`tilebox serve` as a process: first start, restart, signals, crashes, and refused starts."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest
from support.datapoints.tables import bucket
from support.http.wire import Wire, datapoint, message_class, query
from support.servers.processes import PATIENCE_SECONDS, ServerProcess

from tilebox._core.protocol.datasets.v1 import data_ingestion_pb2, datasets_pb2
from tilebox.cli.serve import _started
from tilebox.server.points import probe
from tilebox.server.process.run import Running
from tilebox.server.settings import Settings

__all__ = ["bucket"]

BATCH = 400


def test_the_first_start_creates_a_key_and_later_starts_keep_it(tmp_path):
    with ServerProcess(tmp_path / "data") as first:
        token = first.token
        assert f"shown only now: {token}" in first.log.read_text()
        assert f"export TILEBOX_API_URL={first.url}" in first.log.read_text()
        assert stat.S_IMODE((tmp_path / "data" / "api-key").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        with Wire(first.url, token) as wire:
            dataset = wire.create_dataset()
            wire.ingest(wire.create_collection(dataset), [datapoint(dataset, 1000, name="kept")])
        assert first.terminate(signal.SIGINT) == 0
    with ServerProcess(tmp_path / "data") as second:
        assert token not in second.log.read_text()
        with Wire(second.url, token) as wire:
            (page,) = wire.query(query(dataset))
        assert message_class(dataset).FromString(page[0]).name == "kept"
        assert second.terminate() == 0


def test_a_request_under_way_completes_before_the_server_stops(tmp_path):
    with ServerProcess(tmp_path / "data") as server, Wire(server.url, server.token) as wire:
        dataset = wire.create_dataset()
        collection = wire.create_collection(dataset)
        body = data_ingestion_pb2.IngestRequest(
            collection_id=collection.id, values=[datapoint(dataset, row) for row in range(100)]
        ).SerializeToString()
        address = (httpx.URL(server.url).host, httpx.URL(server.url).port)
        with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
            head = (
                "POST /datasets.v1.DataIngestionService/Ingest HTTP/1.1\r\nhost: x\r\n"
                f"authorization: Bearer {server.token}\r\ncontent-type: application/proto\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body[:100])
            wire.call("DatasetService/ListDatasets")  # by now the server has received the first part
            server.process.send_signal(signal.SIGTERM)
            wait_until_closed(address)
            connection.sendall(body[100:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert server.process.wait(PATIENCE_SECONDS) == 0
    with ServerProcess(tmp_path / "data") as again, Wire(again.url, again.token) as wire:
        assert len(wire.query(query(dataset))[0]) == 100


@pytest.mark.parametrize("kill_after", [1, 4])
def test_a_crash_in_the_middle_of_ingests_leaves_whole_batches(tmp_path, kill_after):
    acknowledged, enough = [], threading.Event()

    def write(url, token, dataset, collection):
        with Wire(url, token) as wire:
            for batch in range(1000):
                values = [datapoint(dataset, 1000 * batch + row, name=f"batch {batch}") for row in range(BATCH)]
                try:
                    wire.ingest(collection, values)
                except httpx.TransportError:
                    return
                acknowledged.append(f"batch {batch}")
                if len(acknowledged) >= kill_after:
                    enough.set()

    with ServerProcess(tmp_path / "data") as server, Wire(server.url, server.token) as wire:
        dataset = wire.create_dataset()
        collection = wire.create_collection(dataset)
        writer = threading.Thread(target=write, args=(server.url, server.token, dataset, collection))
        writer.start()
        assert enough.wait(PATIENCE_SECONDS)
        server.kill()
        writer.join(PATIENCE_SECONDS)
    with ServerProcess(tmp_path / "data") as again, Wire(again.url, again.token) as wire:
        rows = [message_class(dataset).FromString(value) for page in wire.query(query(dataset)) for value in page]
        stored = Counter(row.name for row in rows)
        assert set(stored.values()) == {BATCH}, "a batch was stored in part"
        assert set(acknowledged) <= set(stored), "an acknowledged batch is gone"
        values = [datapoint(dataset, row, name="batch 0") for row in range(BATCH)]
        assert wire.ingest(collection, values).num_existing == BATCH


def test_a_second_server_on_the_same_data_is_refused(tmp_path):
    with ServerProcess(tmp_path / "data") as server:
        refused = run("serve", "--data-dir", str(server.data_dir), "--port", "0")
        assert refused.returncode == 1
        assert f"another server (process {server.process.pid}) uses data directory" in refused.stderr
        assert "--data-dir" in refused.stderr
        with Wire(server.url, server.token) as wire:
            assert wire.call("DatasetService/ListDatasets") == datasets_pb2.ListDatasetsResponse()
        server.kill()
    with ServerProcess(tmp_path / "data") as after_crash:
        assert after_crash.terminate() == 0


def test_a_start_imports_no_pandas_and_a_refused_start_no_slow_module(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with ServerProcess(tmp_path / "data") as server:
        refused = run("serve", "--data-dir", str(server.data_dir), "--port", "0")
        loaded = imported(server.log.read_text())
        assert "lance" in loaded
        assert not [name for name in loaded if name.startswith("pandas.")]
        assert "libarrow_s3" not in Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "another server" in refused.stderr
    assert "tilebox.server.process.locks" in imported(refused.stderr)
    assert not imported(refused.stderr) & {"lance", "pyarrow", "numpy", "shapely", "starlette", "connectrpc"}


def imported(log: str) -> set[str]:
    """Return the modules that a process imported or tried to import."""
    return set(re.findall(r"^import time: .*\| +(\S+)$", log, re.MULTILINE))


def test_what_a_server_has_when_it_starts_is_not_searched_for_garbage(tmp_path, capsys):
    running = Running("http://127.0.0.1:1", None, lambda: None)
    try:
        _started(running, Settings(data_dir=tmp_path))
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
    assert "Tilebox server at http://127.0.0.1:1" in capsys.readouterr().out


def test_the_error_for_a_port_in_use_names_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("serve", "--data-dir", str(tmp_path / "data"), "--port", port)
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another --port" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "setting port"),
        (["--database", "mysql://x"], "sqlite:/// or postgresql://"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (
            ["--storage", "ftp://x"],
            "datapoints cannot be stored in 'ftp://x'; give the path of a directory, or s3://bucket/prefix",
        ),
        (
            ["--storage", "file:///x"],
            "datapoints cannot be stored in 'file:///x'; give the path of a directory, or s3://bucket/prefix",
        ),
        (["--storage", "s3://"], "names no bucket"),
        (["--port", "0", "--database", "postgresql://u:secret@127.0.0.1:9/x"], "Connection refused; check the URL in"),
    ],
)
def test_invalid_settings_are_named_without_a_traceback(tmp_path, arguments, says):
    refused = run("serve", "--data-dir", str(tmp_path / "data"), *arguments)
    assert refused.returncode in (1, 2)
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "secret" not in refused.stderr


def test_a_file_that_is_not_a_database_is_named(tmp_path):
    broken = tmp_path / "100% data?" / "tilebox.sqlite"
    broken.parent.mkdir()
    broken.write_text("this is no database, and long enough that SQLite would read a header from it")
    refused = run("serve", "--data-dir", str(broken.parent), "--port", "0")
    assert refused.returncode == 1
    assert f"Error: cannot use the database {broken}: file is not a database; restore it" in refused.stderr


def test_an_unreachable_object_store_is_named_at_start(tmp_path):
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "eu-1", "AWS_ALLOW_HTTP": "true"}
    where = ("--data-dir", str(tmp_path / "data"), "--port", "0", "--storage", "s3://points")
    refused = run("serve", *where, **keys, AWS_ENDPOINT="http://127.0.0.1:9")
    assert refused.returncode == 1
    assert "Error: cannot use the storage s3://points: " in refused.stderr
    assert "AWS_ACCESS_KEY_ID" in refused.stderr


def test_probing_an_object_store(bucket):
    anyio.run(partial(probe, "s3://points/a/prefix", storage_options=bucket))
    with pytest.raises(OSError, match=r"^The specified bucket does not exist \(NoSuchBucket\)$"):
        anyio.run(partial(probe, "s3://no-points", storage_options=bucket))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {**bucket, "aws_endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with pytest.raises(OSError, match="no answer within 0 s"):
            anyio.run(partial(probe, "s3://points", storage_options=options, seconds=0.3))


def test_only_the_owner_can_read_the_files_of_a_server(tmp_path):
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o755)
    with ServerProcess(data_dir) as server, Wire(server.url, server.token) as wire:
        dataset = wire.create_dataset()
        wire.ingest(wire.create_collection(dataset), [datapoint(dataset, 1000)])
        written = [*data_dir.rglob("*")]
        assert any(path.suffix == ".manifest" for path in written)
        assert not [path for path in written if path.stat().st_mode & 0o077]


def test_a_data_directory_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").touch()
    refused = run("serve", "--data-dir", str(tmp_path / "file" / "data"))
    assert refused.returncode == 1
    assert "cannot use data directory" in refused.stderr


def test_the_help_text():
    for arguments in ((), ("serve",), ("keys",), ("keys", "create")):
        shown = run(*arguments, "--help")
        assert shown.returncode == 0
        assert re.search(r"^ +tilebox (serve|keys)", shown.stdout, re.MULTILINE)


def test_without_click_the_extra_is_named(tmp_path):
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('no click', name='click')")
    shown = subprocess.run(
        [sys.executable, "-m", "tilebox.cli"],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert 'pip install "tilebox-open[server]"' in shown.stderr
    assert "Traceback" not in shown.stderr


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tilebox.cli", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
        env={**os.environ, **environment},
    )


def wait_until_closed(address) -> None:
    """Wait until the port is closed."""
    while True:
        try:
            socket.create_connection(address, timeout=PATIENCE_SECONDS).close()
        except OSError:
            return
