"""Writes the sync client from the async one: tilebox/aio to tilebox/sync, and tests/aio to tests/sync.

    python scripts/unasync.py            writes
    python scripts/unasync.py --check    proves that what is written is what would be written, byte for byte

The library `unasync` replaces names and keeps every line in its place, so that a traceback of the sync
client points at the line of its source. What it would get wrong without a word is refused here: names
that belong to the async world and are in no rule, and f-strings, which it cannot see into.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import shutil
import sys
import tempfile
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
# This file has the name of the library that it imports below.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "scripts"]
TREES = {"tilebox/aio": "tilebox/sync", "tests/aio": "tests/sync"}

RULES = {
    "aio": "sync",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_raw": "iter_raw",
    "anext": "next",
    "aread": "read",
    "AsyncClient": "Client",
}
"""What becomes of names, beyond what the library knows itself. Every rule must be of use."""

BUILT_IN = {
    "AsyncGenerator",
    "AsyncIterable",
    "AsyncIterator",
    "StopAsyncIteration",
    "__aenter__",
    "__aexit__",
    "__aiter__",
    "__anext__",
    "asynccontextmanager",
}
LEFTOVERS = {"Awaitable", "Coroutine", "anyio", "async", "asyncio", "await"}
LEFTOVER_NAME = re.compile(r"(As|S)ync[A-Z]\w*")


class Refused(Exception):  # noqa: N818 it says what it is
    """A source that cannot be turned into sync code."""


def main() -> int:
    """Write or check, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything differs")
    check = parser.parse_args().check
    try:
        wanted = generate(ROOT)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    differences = compare(ROOT, wanted)
    if check:
        for difference in differences:
            print(f"{difference}: run python scripts/unasync.py", file=sys.stderr)
        return 1 if differences else 0
    write(ROOT, wanted)
    print(f"{len(wanted)} files, {len(differences)} of them changed")
    return 0


def generate(root: Path, trees: dict[str, str] | None = None, rules: dict[str, str] | None = None) -> dict[str, bytes]:
    """Return what every generated file must hold, by path below the root.

    Raises:
        Refused: A source breaks a writing rule, or a rule is of no use.
    """
    rules = RULES if rules is None else rules
    used: set[str] = set()
    wanted: dict[str, bytes] = {}
    for source_tree, target_tree in (trees or TREES).items():
        sources = sorted((root / source_tree).rglob("*.py"))
        for path in sources:
            text = path.read_text(encoding="utf-8")
            check_source(text, path, rules)
            used |= names(text) & set(rules)
        for path, text in transform(root, source_tree, target_tree, sources, rules):
            wanted[path] = text.encode()
    unused = sorted(set(rules) - used)
    if unused:
        raise Refused(f"scripts/unasync.py: rules that nothing uses: {', '.join(unused)}")
    return wanted


def transform(
    root: Path, source_tree: str, target_tree: str, sources: list[Path], rules: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield path and text of every file generated from one tree; the library works on files, so in a copy."""
    import unasync

    with tempfile.TemporaryDirectory() as directory:
        copies = []
        for path in sources:
            copy = Path(directory) / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copies.append(str(copy))
        rule = unasync.Rule(f"/{source_tree}/", f"/{target_tree}/", additional_replacements=rules)
        unasync.unasync_files(copies, [rule])
        for path in sources:
            target = Path(target_tree) / path.relative_to(root / source_tree)
            text = (Path(directory) / target).read_text(encoding="utf-8")
            text = with_header(text, path.relative_to(root))
            check_target(text, target)
            yield target.as_posix(), text


def with_header(text: str, source: Path) -> str:
    """Put the notice in the place of the first line, so that all others keep their numbers."""
    if not text:
        return text
    _, _, rest = text.partition("\n")
    return f"# Generated from {source.as_posix()} by scripts/unasync.py; do not edit.\n{rest}"


def check_source(text: str, path: Path, rules: dict[str, str]) -> None:
    """Refuse a source that the library would get wrong without a word.

    Raises:
        Refused: It does.
    """
    if text and not text.startswith("# Source of "):
        raise Refused(f"{path}:1: the first line must be a comment that names what is generated from it")
    hidden = {*rules, *BUILT_IN}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            for part in ast.walk(node):
                name = getattr(part, "id", getattr(part, "attr", None))
                if isinstance(part, ast.Await) or name in hidden:
                    raise Refused(f"{path}:{node.lineno}: an f-string holds await or a name with a rule")


def check_target(text: str, path: Path) -> None:
    """Refuse generated text that does not compile or has something async left.

    Raises:
        Refused: It does.
    """
    try:
        compile(text, str(path), "exec")
    except SyntaxError as error:
        raise Refused(f"{path}:{error.lineno}: {error.msg}") from None
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and (token.string in LEFTOVERS or LEFTOVER_NAME.fullmatch(token.string)):
            raise Refused(f"{path}:{token.start[0]}: {token.string} is left over; give it a rule or a seam")


def names(text: str) -> set[str]:
    """Return all names in a text."""
    return {
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.NAME
    }


def compare(root: Path, wanted: dict[str, bytes], trees: dict[str, str] | None = None) -> list[str]:
    """Return what is wrong with the files that are there: missing, stale or surplus."""
    present = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for tree in (trees or TREES).values()
        for path in sorted((root / tree).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = [f"{path} is missing" for path in wanted.keys() - present.keys()]
    surplus = [f"{path} is surplus" for path in present.keys() - wanted.keys()]
    stale = [f"{path} is stale" for path in wanted.keys() & present.keys() if wanted[path] != present[path]]
    return sorted(missing + surplus + stale)


def write(root: Path, wanted: dict[str, bytes], trees: dict[str, str] | None = None) -> None:
    """Write the generated files, and remove what is surplus."""
    for difference in compare(root, wanted, trees):
        path, _, problem = difference.rpartition(" is ")
        if problem == "surplus":
            (root / path).unlink()
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(wanted[path])


if __name__ == "__main__":
    sys.exit(main())
