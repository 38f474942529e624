"""The generator of the sync client: lines stay, and whatever it would get wrong is refused."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "unasync.py"
TREES = {"pkg/aio": "pkg/sync"}
RULES = {"aio": "sync", "aread": "read"}
SOURCE = '''# Source of pkg/sync/a.py.
"""A module."""
from contextlib import asynccontextmanager

from pkg.aio import b


@asynccontextmanager
async def opened(response):
    async with response:
        yield [await part.aread() async for part in response]
'''
TARGET = '''# Generated from pkg/aio/a.py by scripts/unasync.py; do not edit.
"""A module."""
from contextlib import contextmanager

from pkg.sync import b


@contextmanager
def opened(response):
    with response:
        yield [part.read() for part in response]
'''


@pytest.fixture(scope="module")
def unasync():
    specification = importlib.util.spec_from_file_location("tilebox_unasync", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    path = list(sys.path)
    specification.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.fixture
def root(tmp_path):
    source = tmp_path / "pkg" / "aio" / "a.py"
    source.parent.mkdir(parents=True)
    source.write_text(SOURCE)
    return tmp_path


def generated(unasync, root, rules=None):
    return unasync.generate(root, TREES, rules or RULES)


def test_words_change_and_lines_stay(unasync, root):
    assert generated(unasync, root) == {"pkg/sync/a.py": TARGET.encode()}


def test_the_committed_files_are_the_generated_ones():
    checked = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_file_too_many_too_few_or_a_single_byte_is_noticed(unasync, root):
    wanted = generated(unasync, root)
    assert unasync.compare(root, wanted, TREES) == ["pkg/sync/a.py is missing"]
    unasync.write(root, wanted, TREES)
    assert unasync.compare(root, wanted, TREES) == []
    target = root / "pkg" / "sync" / "a.py"
    target.write_bytes(target.read_bytes() + b"\n")
    (root / "pkg" / "sync" / "old.py").write_text("")
    assert unasync.compare(root, wanted, TREES) == ["pkg/sync/a.py is stale", "pkg/sync/old.py is surplus"]
    unasync.write(root, wanted, TREES)
    assert unasync.compare(root, wanted, TREES) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import asyncio", "async name asyncio is left"),
        ("from anyio import sleep", "async name anyio is left"),
        ("from typing import Awaitable", "async name Awaitable is left"),
        ("client = AsyncClient()", "async name SyncClient is left"),
        ("async def f(x): return f'{await x}'", "f-string"),
        ("def f(x): return f'{x.aread()}'", "f-string"),
        ("def f(x): return f'{aio}'", "f-string"),
    ],
)
def test_what_it_cannot_turn_is_refused_with_its_place(unasync, root, line, message):
    (root / "pkg" / "aio" / "a.py").write_text(SOURCE + line + "\n")
    with pytest.raises(unasync.ConversionError, match=rf"a\.py:12: .*{message}"):
        generated(unasync, root)


def test_a_source_without_its_notice_is_refused(unasync, root):
    (root / "pkg" / "aio" / "a.py").write_text('"""A module."""\n')
    with pytest.raises(unasync.ConversionError, match="the first line must be a comment"):
        generated(unasync, root)


def test_a_rule_of_no_use_is_refused(unasync, root):
    with pytest.raises(unasync.ConversionError, match="unused rules: aclose"):
        generated(unasync, root, {**RULES, "aclose": "close"})


def test_both_trees_have_the_same_lines():
    for source in sorted((ROOT / "tilebox" / "aio").rglob("*.py")):
        target = ROOT / "tilebox" / "sync" / source.relative_to(ROOT / "tilebox" / "aio")
        assert len(source.read_text().splitlines()) == len(target.read_text().splitlines())
