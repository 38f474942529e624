r"""Values in files, for the sync client: the key `a/b` is the file `b` in the folder `a`.

A value and a group may have the same name, which a file and a folder cannot. The value then lies in
`.tilebox-values` beside the folder. It is moved there, by a rename, when the group comes second; it never
comes back, and folders are never removed. So whoever looks at the usual place first and then there
finds it, whatever others do meanwhile.

A value is written to a file of its own and then renamed over the last one: readers see the old or the
new value, never a part. What a killed process leaves behind bears a reserved name, and is not seen.

Below the root no symbolic link is followed.
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
# What systems raise where there is a folder and a file is meant, or the other way round.
_OTHER_KIND = (IsADirectoryError, NotADirectoryError, PermissionError)


class Folder:
    """A folder of values.

    Args:
        root: The folder; made when the first value is written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        # Absolute, so that neither a change of the working directory nor a child process means another folder.
        self._root = Path(root).absolute()

    def read(self, path: cache_keys.Names) -> bytes | None:
        """Return a value, or None."""
        for place in self._places(path):
            with _absent(place):
                return place.read_bytes()
        return None

    def write(self, path: cache_keys.Names, value: bytes) -> None:
        """Keep a value."""
        places = self._places(path)
        self._make_group(path[:-1])
        written = places[0].with_name(f"{cache_keys.RESERVED}{uuid4().hex}.tmp")
        try:
            with written.open("xb") as file:
                file.write(value)
            for place in places:
                place.parent.mkdir(exist_ok=True)
                with _absent(place):
                    written.replace(place)
                    break
            else:
                raise FileNotFoundError(f"{places[0]} could not be written: somebody removes folders of the cache")
        finally:
            written.unlink(missing_ok=True)

    def delete(self, path: cache_keys.Names) -> bool:
        """Remove a value, and tell whether there was one."""
        found = False
        for place in self._places(path):
            with _absent(place):
                place.unlink()
                found = True
        return found

    def exists(self, path: cache_keys.Names) -> bool:
        """Tell whether there is a value."""
        return any(place.is_file() for place in self._places(path))

    def names(self, group: cache_keys.Names) -> Iterator[str]:
        """Return the names of the files directly in a group, in order; not all need be keys."""
        found = {*_files(self._inside(group)), *_files(self._inside((*group, _VALUES)))}
        return iter(sorted(found))

    def __repr__(self) -> str:
        return repr(str(self._root))

    def _places(self, path: cache_keys.Names) -> tuple[Path, Path]:
        """Return where a value lies: as a rule, and if a group has its name."""
        *group, name = path
        return self._inside(path), self._inside((*group, _VALUES, name))

    def _inside(self, path: cache_keys.Names) -> Path:
        """Return the file or folder of a path.

        Raises:
            ValueError: A symbolic link is on the way.
        """
        if os.name == "nt":
            cache_keys.check_for_windows(path)
        place = self._root.resolve().joinpath(*path)
        if place.resolve() != place:
            raise ValueError(f"{place} is reached over a symbolic link, which a cache does not follow")
        return place

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
    """Make room for a group of the name that a value has."""
    aside = value.parent / _VALUES
    aside.mkdir(exist_ok=True)
    # Others may be quicker, and have made the folder already.
    with _absent(value):
        if value.is_file():
            value.replace(aside / value.name)


@contextmanager
def _absent(place: Path) -> Iterator[None]:
    """Go on behind the block if there is no file at a place, or a folder."""
    try:
        yield
    except FileNotFoundError:
        return
    except _OTHER_KIND:
        if place.is_file():
            raise


def _files(folder: Path) -> Iterator[str]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
