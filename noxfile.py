"""Development sessions. `nox -l` lists them, `nox -s NAME` runs one.

    nox -s demo      run the demo: a server, a week of acquisitions, queries, maps and a workflow
    nox -s tests     run all tests, with a real PostgreSQL, a real S3 API and the official client
    nox -s check     run everything that reads the code without running it

Arguments after `--` go to the tool: `nox -s tests -- tests/core -k intervals`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["check", "tests"]

ROOT = Path(__file__).parent
OFFICIAL = ROOT / ".nox" / "official-client"
# The official SDK has the same import name `tilebox`, so it needs a separate environment. It fails to import with
# protobuf-py 0.7, although its requirements allow that version.
OFFICIAL_PACKAGES = ("tilebox-datasets==0.66.0", "tilebox-workflows==0.66.0", "protobuf-py==0.6.0")
# Generated modules contain protoc's version. Protobuf runtimes from 6.31 on accept this one.
PROTOC = ("grpcio-tools==1.75.1", "setuptools<81")


def _dependency_group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name))


def _official_client(session: nox.Session) -> str:
    """Create the official client's environment if it is missing and return its folder."""
    folder = "Scripts" if sys.platform == "win32" else "bin"
    python = OFFICIAL / folder / "python"
    if not (OFFICIAL / "ready").exists():
        session.run("python", "-m", "venv", "--clear", str(OFFICIAL), silent=True)
        session.run(str(python), "-m", "pip", "install", "-q", *OFFICIAL_PACKAGES, external=True)
        (OFFICIAL / "ready").touch()
    return str(OFFICIAL)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo. `-- --stac FILE` shows that file instead of the computed week."""
    session.install("-e", ".[server]", *_dependency_group("demo"))
    session.run("python", "examples/demo", *session.posargs)


@nox.session
def serve(session: nox.Session) -> None:
    """Run `tilebox serve`, for example with the data of the demo: `-- --data-dir tilebox-demo/data`."""
    session.install("-e", ".[server]")
    session.run("tilebox", "serve", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests in parallel."""
    session.install("-e", ".[all]", *_dependency_group("tests"))
    session.env["TILEBOX_OFFICIAL_ENV"] = _official_client(session)
    arguments = session.posargs or ["-n", os.environ.get("TILEBOX_TEST_PROCESSES", "2"), "--dist", "worksteal"]
    session.run("pytest", *arguments)


@nox.session(venv_backend="uv")
def tests_min(session: nox.Session) -> None:
    """Run the tests of core and clients with the lowest versions that `pyproject.toml` allows."""
    session.install("--resolution", "lowest-direct", "-e", ".[all]")
    # xarray 2024.7 cannot write Zarr 3.
    session.install(*_dependency_group("tests"), "zarr<3", "numcodecs<0.16")
    # The latest google-api-core that accepts the lowest protobuf warns about Python 3.11.
    ignore_warning = "ignore:You are using a Python version:FutureWarning"
    session.env["PYTHONWARNINGS"] = ignore_warning
    folders = ["tests/core", "tests/public", "tests/aio", "tests/sync", "tests/io"]
    session.run("pytest", "-W", ignore_warning, *(session.posargs or folders))


@nox.session
def check(session: nox.Session) -> None:
    """Check generated files, style, types and imports."""
    session.install("-e", ".[all]", *_dependency_group("check"))
    session.run("python", "scripts/unasync.py", "--check")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("mypy", "tests/public/typing_datasets.py", "tests/public/typing_workflows.py")
    session.run("lint-imports")


@nox.session
def unasync(session: nox.Session) -> None:
    """Generate tilebox/sync and tests/sync from their async sources. `-- --check` only compares."""
    session.install(*[line for line in _dependency_group("check") if line.startswith("unasync")])
    session.run("python", "scripts/unasync.py", *session.posargs)


@nox.session
def protocol(session: nox.Session) -> None:
    """Generate tilebox/_core/protocol from proto/. `-- --check` only compares."""
    session.install(*PROTOC)
    session.run("python", "scripts/protocol.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks and print a table as in benchmarks/README.md."""
    session.install("-e", ".[all]", *_dependency_group("bench"))
    session.env["TILEBOX_OFFICIAL_ENV"] = _official_client(session)
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/, with warnings as errors. `-- serve` serves it with live reload."""
    session.install("-e", ".[arrow]", *_dependency_group("docs"))
    session.run("mkdocs", *(session.posargs or ["build", "--strict"]))


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel and the source archive into dist/."""
    session.install("build")
    session.run("python", "-m", "build")
