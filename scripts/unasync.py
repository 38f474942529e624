"""Generate the sync client from the async one: tilebox/sync from tilebox/aio, and tests/sync from tests/aio.

    python scripts/unasync.py            write the files
    python scripts/unasync.py --check    fail if a file differs from its source by a byte

The library `unasync` replaces names and keeps line numbers, so a traceback of the sync client points at the line of its
source. This script refuses what the library would silently get wrong: async names without a rule, and names inside
f-strings, which the library does not replace.
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
# This file has the same name as the library that it imports below, so its folder must not be on the path.
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
"""Replacements of names, besides those built into the library. An unused rule is an error."""

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


class ConversionError(Exception):
    """A source cannot be converted to sync code."""


def main() -> int:
    """Write or check the generated files and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything differs")
    check = parser.parse_args().check
    try:
        generated = generate(ROOT)
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 1
    differences = compare(ROOT, generated)
    if check:
        for difference in differences:
            print(f"{difference}: run python scripts/unasync.py", file=sys.stderr)
        return 1 if differences else 0
    write(ROOT, generated)
    print(f"{len(generated)} files, {len(differences)} of them changed")
    return 0


def generate(root: Path, trees: dict[str, str] | None = None, rules: dict[str, str] | None = None) -> dict[str, bytes]:
    """Return the content of each generated file by its path below the root.

    Raises:
        ConversionError: A source cannot be converted, or a rule is unused.
    """
    rules = RULES if rules is None else rules
    used: set[str] = set()
    generated: dict[str, bytes] = {}
    for source_tree, target_tree in (trees or TREES).items():
        sources = sorted((root / source_tree).rglob("*.py"))
        for path in sources:
            text = path.read_text(encoding="utf-8")
            check_source(text, path, rules)
            used |= names(text) & set(rules)
        for path, text in transform(root, source_tree, target_tree, sources, rules):
            generated[path] = text.encode()
    unused = sorted(set(rules) - used)
    if unused:
        raise ConversionError(f"scripts/unasync.py: unused rules: {', '.join(unused)}")
    return generated


def transform(
    root: Path, source_tree: str, target_tree: str, sources: list[Path], rules: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file generated from one tree. The library needs files, so it works on a copy."""
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
    """Replace the first line by a notice, so that the other lines keep their numbers."""
    if not text:
        return text
    _, _, rest = text.partition("\n")
    return f"# Generated from {source.as_posix()} by scripts/unasync.py; do not edit.\n{rest}"


def check_source(text: str, path: Path, rules: dict[str, str]) -> None:
    """Check for code that the library would silently convert wrongly.

    Raises:
        ConversionError: The source has such code.
    """
    if text and not text.startswith("# Source of "):
        raise ConversionError(f"{path}:1: the first line must be a comment `# Source of …`")
    hidden = {*rules, *BUILT_IN}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            for part in ast.walk(node):
                name = getattr(part, "id", getattr(part, "attr", None))
                if isinstance(part, ast.Await) or name in hidden:
                    raise ConversionError(
                        f"{path}:{node.lineno}: an f-string contains await or a name that unasync replaces; use a variable"
                    )


def check_target(text: str, path: Path) -> None:
    """Check that generated text compiles and has no async names.

    Raises:
        ConversionError: It does not compile, or has an async name.
    """
    try:
        compile(text, str(path), "exec")
    except SyntaxError as error:
        raise ConversionError(f"{path}:{error.lineno}: {error.msg}") from None
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and (token.string in LEFTOVERS or LEFTOVER_NAME.fullmatch(token.string)):
            raise ConversionError(
                f"{path}:{token.start[0]}: async name {token.string} is left; add a rule, or move it to tilebox/_io"
            )


def names(text: str) -> set[str]:
    """Return all names in a source text."""
    return {
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.NAME
    }


def compare(root: Path, generated: dict[str, bytes], trees: dict[str, str] | None = None) -> list[str]:
    """Return which existing files are missing, stale or surplus, one text per file."""
    existing = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for tree in (trees or TREES).values()
        for path in sorted((root / tree).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = [f"{path} is missing" for path in generated.keys() - existing.keys()]
    surplus = [f"{path} is surplus" for path in existing.keys() - generated.keys()]
    stale = [f"{path} is stale" for path in generated.keys() & existing.keys() if generated[path] != existing[path]]
    return sorted(missing + surplus + stale)


def write(root: Path, generated: dict[str, bytes], trees: dict[str, str] | None = None) -> None:
    """Write the generated files and remove surplus ones."""
    for difference in compare(root, generated, trees):
        path, _, problem = difference.rpartition(" is ")
        if problem == "surplus":
            (root / path).unlink()
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(generated[path])


if __name__ == "__main__":
    sys.exit(main())
