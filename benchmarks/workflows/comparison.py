"""W1 to W10: the orchestrator and its peers, measured in the same run and on the same disk.

Each figure is the best of several runs, for all candidates: other load on the machine can only make a figure worse. The
first row is the time of a disk flush on this machine, because it dominates the cost of durable designs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.imports import import_milliseconds
from benchmarks.measure import (
    HERE,
    OFFICIAL,
    Server,
    Table,
    free_port,
    official_missing,
    rate,
    running_server,
)
from benchmarks.processes import CannotStartError, await_port, running
from benchmarks.workflows.peers import (
    PEERS,
    best,
    fresh_database,
    measure_peer,
    measure_workload,
    running_postgres,
    running_redis,
)
from benchmarks.workflows.queue_depth import FEW
from benchmarks.workflows.queue_depth import measure as measure_depth

MAX_SUBTASKS = 20_000
_OURS = "workload_ours.py"
_OFFICIAL_RUNNER = "workload_official.py"
_FLOOR = "floor.py"
_OFFICIAL_TASKS = 10_000
_IDLE_SECONDS = 5.0
_START_SECONDS = 30.0
_FLUSHES = 50

T = TypeVar("T")
Figures = Mapping[str, float]


def main(table: Table, *, runs: int = 3, many: int = 1_000_000) -> None:
    """Measure all candidates, one after the other, and fill the table."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        table.add("–", "one flush of this disk (fdatasync of 4 KiB), p50", f"{_flush_milliseconds(folder):.2f} ms")
        postgres = _try_start(table, "PostgreSQL", lambda: stack.enter_context(running_postgres()))
        redis = _try_start(table, "Redis", lambda: stack.enter_context(running_redis(folder)))
        _speeds(table, folder, postgres, redis, runs)
        _null_servers(table, folder)
        _official_runner(table, folder, runs)
        _memory(table, folder)
        _start(table, folder, runs)
        _depth(table, folder, postgres, many)
        cost = import_milliseconds(sys.executable, "import tilebox.workflows")
        table.add("D9", "import tilebox.workflows", f"{cost:.0f} ms", "–", "–", "≤ 150 ms")


def _speeds(table: Table, folder: Path, postgres: str | None, redis: str | None, runs: int) -> None:
    """Measure fan-out, start and chain. Candidates alternate, so noise affects all of them equally."""
    found: dict[str, list[Figures]] = {}
    for _ in range(runs):
        _record(found, table, "ours, SQLite", lambda: _ours(folder))
        _record(found, table, "floor", lambda: _floor(folder))
        _record(found, table, "ours, SQLite, NORMAL", lambda: _ours(folder, parts=("fan_out",), synchronous="normal"))
        if postgres is not None:
            for workers in (1, 2):
                _record(found, table, f"ours, PostgreSQL, {workers}", partial(_ours, folder, postgres, workers))
        for kind in PEERS:
            if {"redis": redis, "postgres": postgres}.get(kind.needs, "") is None:
                continue
            counts = (1, 2) if kind.needs == "postgres" else (1,)
            for workers in counts:
                label = f"{kind.name}, {workers}" if kind.needs == "postgres" else kind.name
                addresses = (redis or "", postgres or "")
                _record(found, table, label, partial(measure_peer, kind, folder, *addresses, workers=workers))
    figures = {name: best(results) for name, results in found.items()}
    local = {kind.name for kind in PEERS if kind.needs != "postgres"}
    stored = {kind.name for kind in PEERS if kind.needs == "postgres"}
    leaves = "fan-out of 10,000, 1 runner"
    _add_comparison(table, "W1", f"{leaves}, SQLite, FULL", figures, "ours, SQLite", local, "tasks_per_s", "≥ 4×")
    unflushed = f"{leaves}, SQLite, NORMAL (reports are not flushed)"
    _add_comparison(table, "W1", unflushed, figures, "ours, SQLite, NORMAL", local, "tasks_per_s", "≥ 5×")
    for workers, wanted in ((1, "≥ 1.8×"), (2, "≥ 1.8×")):
        names = {f"{name}, {workers}" for name in stored}
        what = f"fan-out of 10,000, {workers} runner(s), PostgreSQL"
        _add_comparison(table, "W2", what, figures, f"ours, PostgreSQL, {workers}", names, "tasks_per_s", wanted)
    all_peers = local | {f"{name}, 1" for name in stored}
    for figure, wanted in (("start_p50_ms", "ahead of durable peers"), ("start_p95_ms", "ahead of durable peers")):
        what = f"submit → start on an idle runner, SQLite, {figure[6:9]}"
        _add_comparison(table, "W3", what, figures, "ours, SQLite", all_peers, figure, wanted)
    _add_comparison(
        table,
        "W4",
        "chain of 200, a step, SQLite",
        figures,
        "ours, SQLite",
        local,
        "step_p50_ms",
        "ahead of durable peers",
    )
    if "floor" in figures:
        floor = figures["floor"]
        what = "not ours: bare sockets, three processes, one flush, nothing else"
        table.add("W3", f"{what}, p50; p95", f"{floor['start_p50_ms']:.2f}; {floor['start_p95_ms']:.2f} ms")
        table.add("W4", f"{what}, a step", f"{floor['step_p50_ms']:.2f} ms")
    names = {f"{name}, 1" for name in stored}
    what = "chain of 200, a step, PostgreSQL"
    _add_comparison(table, "W4", what, figures, "ours, PostgreSQL, 1", names, "step_p50_ms", "ahead of durable peers")


def _ours(
    folder: Path, postgres: str | None = None, workers: int = 1, parts: Sequence[str] = (), **settings: object
) -> Figures:
    with ExitStack() as stack:
        settings["max_subtasks"] = MAX_SUBTASKS
        if postgres is not None:
            settings["database"] = stack.enter_context(fresh_database(postgres))
        server = stack.enter_context(running_server(_new_data_dir(folder), **settings))
        variables = _client_variables(server.url, server.token)
        return measure_workload(sys.executable, _OURS, variables, folder, workers=workers, parts=parts)


def _floor(folder: Path) -> Figures:
    port = free_port()
    command = [sys.executable, _FLOOR, "serve", str(port), str(folder / "flushed")]
    variables = {"WORKLOAD_ADDRESS": f"127.0.0.1:{port}"}
    log, clients = folder / "floor.log", {**variables, "PYTHONPATH": str(HERE / "clients")}
    with running(command, log, clients, HERE / "clients") as process:
        await_port(port, process, log)
        return measure_workload(sys.executable, _FLOOR, variables, folder, parts=("start", "chain"))


def _add_comparison(
    table: Table, target: str, what: str, figures: dict[str, dict[str, float]], ours: str, peers: set[str], figure: str,
    wanted: str,
) -> None:  # fmt: skip
    """Add a row with our figure, every peer's, and the ratio to the best peer."""
    if ours not in figures:
        return
    is_rate = figure.endswith("_per_s")
    write: Callable[[float], str] = (lambda value: rate(value, 1)) if is_rate else (lambda value: f"{value:.2f} ms")
    others = {name: figures[name][figure] for name in sorted(peers & figures.keys())}
    peer = "; ".join(f"{name} {write(value)}" for name, value in others.items()) or "–"
    own, ratio = figures[ours][figure], "–"
    if others:
        times = own / max(others.values()) if is_rate else min(others.values()) / own
        ratio = f"{times:.1f}×"
    table.add(target, what, write(own), peer, ratio, wanted)


def _null_servers(table: Table, folder: Path) -> None:
    for batch, what, wanted in ((1, "one task a request", "≥ 2,000/s"), (256, "adaptive", "≥ 15,000/s")):
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.workflows.null_server", "--port", str(port), "--batch", str(batch)]
        marks = folder / f"null-{batch}"
        variables = {**_client_variables(f"http://127.0.0.1:{port}", "tbx_none"), "WORKLOAD_MARKS": str(marks)}
        variables["PYTHONPATH"] = str(HERE / "clients")
        with (
            running(command, folder / "null.log", cwd=HERE.parent),
            running([sys.executable, _OURS, "worker"], folder / "null.log", variables, HERE / "clients"),
        ):
            time.sleep(_IDLE_SECONDS)
            before, started = _size(marks), time.perf_counter()
            time.sleep(_IDLE_SECONDS)
            done, seconds = (_size(marks) - before) / 8, time.perf_counter() - started
        table.add("W7", f"our runner, a server that does nothing, {what}", rate(done, seconds), "–", "–", wanted)


def _official_runner(table: Table, folder: Path, runs: int) -> None:
    """Compare the official runner's rate against our server with its rate against two servers that do nothing."""
    missing = official_missing()
    if missing is not None:
        table.add(
            "W6",
            "the official runner, unmodified",
            f"skipped: {missing}",
            "–",
            "–",
            "≥ 40 % over HTTP/1.1, ≥ 50 % over gRPC, of the one that flushes",
        )
        return
    found: dict[tuple[str, str], float] = {}
    for _ in range(runs):
        for transport in ("http1", "grpc"):
            for kind, start in (
                ("nothing", _null_server_for_official),
                ("flush", partial(_null_server_for_official, flushes=True)),
                ("ours", _jobs_for_official),
            ):
                with start(folder, transport) as (url, token):
                    key = (transport, kind)
                    found[key] = max(found.get(key, 0.0), _official_rate(folder, url, token, transport))
    for transport, name in (("http1", "HTTP/1.1"), ("grpc", "gRPC")):
        nothing = found[transport, "nothing"]
        peer = f"a server that does nothing: {rate(nothing, 1)}"
        for kind, what in (("ours", "ours"), ("flush", "not ours: a server that flushes each report and does nothing")):
            own = found[transport, kind]
            wanted = "≥ 40 % over HTTP/1.1, ≥ 50 % over gRPC, of the one that flushes" if kind == "ours" else ""
            table.add("W6", f"the official runner, {name}, {what}", rate(own, 1), peer, f"{own / nothing:.0%}", wanted)


@contextmanager
def _null_server_for_official(folder: Path, transport: str, *, flushes: bool = False) -> Iterator[tuple[str, str]]:
    port = free_port()
    file = str(folder / "flushed")
    if transport == "http1":
        command = [sys.executable, "-m", "benchmarks.workflows.null_server", "--port", str(port)]
        command += ["--flush", file] if flushes else []
        with running(command, folder / "null.log", cwd=HERE.parent):
            yield f"http://127.0.0.1:{port}", "tbx_none"
        return
    command = _official("null", str(port), *([file] if flushes else ()))
    with running(command, folder / "null.log", _official_variables(), folder):
        yield f"http://127.0.0.1:{port}", "tbx_none"


@contextmanager
def _jobs_for_official(folder: Path, transport: str) -> Iterator[tuple[str, str]]:  # noqa: ARG001 - it speaks both
    with running_server(_new_data_dir(folder), max_subtasks=MAX_SUBTASKS) as server:
        environment = {**os.environ, **_client_variables(server.url, server.token), "WORKLOAD_MARKS": os.devnull}
        # Two jobs, so that the tasks do not run out.
        for _ in range(2):
            client = [sys.executable, _OURS, "submit", str(_OFFICIAL_TASKS)]
            subprocess.run(client, env=environment, cwd=HERE / "clients", check=True, capture_output=True)
        yield server.url, server.token


def _official_rate(folder: Path, url: str, token: str, transport: str) -> float:
    marks = folder / f"official-{time.monotonic_ns()}"
    variables = _official_variables(**_client_variables(url, token), WORKLOAD_MARKS=str(marks))
    with running(_official(transport), folder / "official.log", variables, folder):
        until = time.monotonic() + _START_SECONDS
        while _size(marks) == 0:
            if time.monotonic() > until:
                raise SystemExit(f"the official runner executes no task, see {folder / 'official.log'}")
            time.sleep(0.1)
        time.sleep(1)  # wait until its start-up work is over
        before, started = _size(marks), time.perf_counter()
        time.sleep(_IDLE_SECONDS)
        return (_size(marks) - before) / 8 / (time.perf_counter() - started)


def _official(*arguments: str) -> list[str]:
    return [str(OFFICIAL / "bin" / "python"), str(HERE / "clients" / _OFFICIAL_RUNNER), *arguments]


def _official_variables(**more: str) -> dict[str, str]:
    # The official package has the same import name, so its interpreter must not see this checkout.
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(HERE / "clients"), **more}


def _memory(table: Table, folder: Path) -> None:
    """Measure the memory of a server and its runner when idle, and after many tasks."""
    leaves = 10_000
    with running_server(_new_data_dir(folder), max_subtasks=MAX_SUBTASKS) as server:
        marks = folder / "memory-marks"
        variables = {
            **_client_variables(server.url, server.token),
            "WORKLOAD_MARKS": str(marks),
            "PYTHONPATH": str(HERE / "clients"),
        }
        with running([sys.executable, _OURS, "worker"], folder / "memory.log", variables, HERE / "clients") as runner:
            time.sleep(_IDLE_SECONDS)
            before = (_mebibytes(runner.pid), _mebibytes(server.process.pid))
            environment = {**os.environ, **variables, "WORKLOAD_LEAVES": str(leaves)}
            for _ in range(10):
                client = [sys.executable, _OURS, "measure", "fan_out"]
                subprocess.run(client, env=environment, cwd=HERE / "clients", check=True, capture_output=True)
            time.sleep(_IDLE_SECONDS)
            after = (_mebibytes(runner.pid), _mebibytes(server.process.pid))
        for position, (what, wanted) in enumerate((("runner", "≤ 45 MiB"), ("server with one runner", "≤ 150 MiB"))):
            table.add("W8", f"idle memory (PSS): {what}", f"{before[position]:.0f} MiB", "–", "–", wanted)
            table.add("W8", f"the same after {10 * leaves:,} tasks", f"{after[position]:.0f} MiB", "–", "–", "flat")
        _diagram(table, server, leaves)


def _diagram(table: Table, server: Server, tasks: int) -> None:
    from tilebox.workflows import Client

    jobs = Client(url=server.url, token=server.token).jobs()
    job = next(job for job in jobs.query(("2020-01-01", "2100-01-01")) if job.name == "fan-out")
    try:
        jobs.visualize(job)  # warm-up: the first call starts the renderer
        started = time.perf_counter()
        size = len(jobs.visualize(job))
        seconds = time.perf_counter() - started
    except Exception as error:  # noqa: BLE001 - the benchmark continues with the next row
        table.add("W9", f"diagram of a job of {tasks:,} tasks", f"not measured: {error}", "–", "–", "≤ 1 s")
        return
    what = f"{seconds * 1e3:.0f} ms, {size / 1024:.0f} KiB of SVG"
    table.add("W9", f"diagram of a job of {tasks:,} tasks", what, "official: 200 tasks at most", "–", "≤ 1 s")


def _start(table: Table, folder: Path, runs: int) -> None:
    seconds = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        with running_server(_new_data_dir(folder)):
            seconds.append(time.perf_counter() - started)
    table.add("W10", "`tilebox serve` to healthy, warm", f"{min(seconds[1:]):.2f} s", "–", "–", "≤ 2 s")


def _depth(table: Table, folder: Path, postgres: str | None, many: int) -> None:
    addresses = [("SQLite", f"sqlite://{folder / 'few.sqlite'}", f"sqlite://{folder / 'many.sqlite'}")]
    with ExitStack() as stack:
        if postgres is not None:
            few, deep = (stack.enter_context(fresh_database(postgres)) for _ in range(2))
            addresses.append(("PostgreSQL", few, deep))
        for name, few, deep in addresses:
            found = measure_depth(few, deep, many)
            for figure, beside, waiting in (
                ("many", "few", f"{many:,} queued, right after their insert"),
                ("blocked", "few_again", f"{many:,} blocked besides"),
            ):
                table.add(
                    "W5",
                    f"{name}: tasks handed out and reported with {waiting}",
                    rate(found[figure], 1),
                    f"ours with {FEW:,} queued, in turn: {rate(found[beside], 1)}",
                    f"{found[figure] / found[beside]:.2f}",
                    "≥ 0.9",
                )
            table.add("–", f"{name}: inserting them", rate(found["insert"], 1))


def _record(found: dict[str, list[Figures]], table: Table, name: str, measure: Callable[[], Figures]) -> None:
    """Record the figures of a measurement, or add one row that says why there are none."""
    result = _try_start(table, name, measure)
    if result is not None:
        found.setdefault(name, []).append(result)


def _try_start(table: Table, name: str, start: Callable[[], T]) -> T | None:
    try:
        return start()
    except CannotStartError as error:
        if not any(row.what == name for row in table.rows):
            table.add("–", name, f"skipped: {error}")
        return None


def _client_variables(url: str, token: str) -> dict[str, str]:
    return {"WORKLOAD_ADDRESS": url, "WORKLOAD_TOKEN": token}


def _new_data_dir(folder: Path) -> Path:
    return folder / f"data-{time.monotonic_ns()}"


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _mebibytes(process: int) -> float:
    """Return the proportional memory (PSS) of a process and its children in MiB; shared pages are divided among users."""
    total = 0
    for member in (process, *_children(process)):
        lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def _children(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _children(int(child))


def _flush_milliseconds(folder: Path) -> float:
    times = []
    with (folder / "flush").open("wb", buffering=0) as file:
        for _ in range(_FLUSHES):
            started = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)
