r"""Values in files, for the sync client: the key `a/b` is the file `b` in the folder `a`.

A value and a group may have the same name, but a file and a folder cannot. The value is then in the folder
`.tilebox-values` beside the folder of the group. If the value was first, it is moved there by a rename. It is never
moved back, and folders are never removed. A reader that looks at the usual path first, and at the other path second,
therefore finds the value, whatever other processes do at the same time.

A value is written to a temporary file, which is then renamed over the old one, so readers see the old or the new
value and never a part. The temporary file of a killed process has a reserved name, which readers ignore.

Symbolic links below the root are not followed.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from tilebox._core import cache_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Folder"]

_VALUES = f"{cache_keys.RESERVED}values"
# The errors of operating systems when a path is a folder instead of a file, or a file instead of a folder.
_WRONG_KIND_ERRORS = (IsADirectoryError, NotADirectoryError, PermissionError)


class Folder:
    """A folder of values.

    Args:
        root: The path of the folder, which is created when the first value is written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        # Absolute, so that it is the same folder after a change of the working directory and in a child process.
        self._root = Path(root).absolute()

    def read(self, path: cache_keys.Names) -> bytes | None:
        """Return a value, or None if it does not exist."""
        for file in self._candidates(path):
            with _ignore_missing(file):
                return file.read_bytes()
        return None

    def write(self, path: cache_keys.Names, value: bytes) -> None:
        """Store a value."""
        candidates = self._candidates(path)
        self._make_group(path[:-1])
        temporary = candidates[0].with_name(f"{cache_keys.RESERVED}{uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as stream:
                stream.write(value)
            for file in candidates:
                file.parent.mkdir(exist_ok=True)
                with _ignore_missing(file):
                    temporary.replace(file)
                    break
            else:
                raise FileNotFoundError(
                    f"{candidates[0]} could not be written, because another process removes folders of the cache"
                )
        finally:
            temporary.unlink(missing_ok=True)

    def delete(self, path: cache_keys.Names) -> bool:
        """Delete a value, and return whether it existed."""
        existed = False
        for file in self._candidates(path):
            with _ignore_missing(file):
                file.unlink()
                existed = True
        return existed

    def exists(self, path: cache_keys.Names) -> bool:
        """Return whether a value exists."""
        return any(file.is_file() for file in self._candidates(path))

    def names(self, group: cache_keys.Names) -> Iterator[str]:
        """Return the names of the files directly in a group, sorted; some may not be keys."""
        names = {*_files(self._inside(group)), *_files(self._inside((*group, _VALUES)))}
        return iter(sorted(names))

    def __repr__(self) -> str:
        return repr(str(self._root))

    def _candidates(self, path: cache_keys.Names) -> tuple[Path, Path]:
        """Return the two possible files of a value: the usual one, and the one beside a group of the same name."""
        *group, name = path
        return self._inside(path), self._inside((*group, _VALUES, name))

    def _inside(self, path: cache_keys.Names) -> Path:
        """Return the file or folder of a path.

        Raises:
            ValueError: The path contains a symbolic link.
        """
        if os.name == "nt":
            cache_keys.check_for_windows(path)
        inside = self._root.resolve().joinpath(*path)
        if inside.resolve() != inside:
            raise ValueError(f"{inside} is reached through a symbolic link, which a cache does not follow")
        return inside

    def _make_group(self, group: cache_keys.Names) -> None:
        folder = self._root.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in group:
            folder = folder / name
            while not folder.is_dir():
                try:
                    folder.mkdir()
                except FileExistsError:
                    _move_aside(folder)


def _move_aside(value: Path) -> None:
    """Move a value out of the way of a group with the same name."""
    aside = value.parent / _VALUES
    aside.mkdir(exist_ok=True)
    # Another process may have moved it first, and created the folder already.
    with _ignore_missing(value):
        if value.is_file():
            value.replace(aside / value.name)


@contextmanager
def _ignore_missing(file: Path) -> Iterator[None]:
    """Suppress the error of the block if the file does not exist, or is a folder."""
    try:
        yield
    except FileNotFoundError:
        return
    except _WRONG_KIND_ERRORS:
        if file.is_file():
            raise


def _files(folder: Path) -> Iterator[str]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
