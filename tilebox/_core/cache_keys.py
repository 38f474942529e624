r"""Keys of caches: what may be one, and what is refused before anything is touched.

A key is one or more names with `/` between them, as in `scenes/S2A/preview`; all but the last are groups.
The rules are the same for every place where a cache keeps its values, so that a workflow that runs on a
laptop runs in a bucket:

- A name is not empty, not `.` or `..`, holds no backslash, no control character and nothing that UTF-8
  or XML cannot say, does not begin with a drive letter (`c:`) or with `.tilebox-`, which is ours, and has
  at most 255 bytes. A whole key has at most 900, which with the prefix of a cache fit the 1024 of a bucket.
- A key and a group may have the same name: `a` and `a/b` are two values.
- Keys are put into Unicode's normal form C, in which `é` is one character: two spellings that look the
  same are one key everywhere, whatever a file system makes of them.
- Upper and lower case differ. A file system that ignores case ignores it in keys too: there, `A` and `a`
  are one file, and the later value stays.

Values are bytes, and are never interpreted.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "RESERVED",
    "Names",
    "NoCacheError",
    "as_value",
    "check_for_windows",
    "is_name",
    "not_cached",
    "parse",
    "parse_prefix",
]

Names = tuple[str, ...]
"""The names of a key, or of a group; the empty tuple is the whole cache."""

RESERVED = ".tilebox-"
"""What names of files begin with that a cache makes for itself."""

MAX_NAME_BYTES = 255
MAX_KEY_BYTES = 900
MAX_PREFIX_BYTES = 1024 - MAX_KEY_BYTES - 1

_DRIVE = re.compile(r"[A-Za-z]:")
# Control characters, halves of surrogate pairs, and the two code points that XML leaves out.
_UNSPEAKABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_WINDOWS = re.compile(r'[<>:"|?*]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


class NoCacheError(TileboxError, ValueError):
    """A task uses its job cache, and the runner that runs it has none."""


def parse(key: Any, group: Names = ()) -> Names:
    """Return the names of a key that a caller gave.

    Args:
        key: Names with `/` between them.
        group: The group that it is in.

    Raises:
        ValueError: It is not a key; the message says why.
        TypeError: It is not text.

    >>> parse("scenes/S2A", ("job",))
    ('job', 'scenes', 'S2A')
    """
    if not isinstance(key, str):
        raise TypeError(f"a cache key is a str, not a {type(key).__name__}")
    names = tuple(unicodedata.normalize("NFC", key).split("/"))
    for name in names:
        problem = _problem(name)
        if problem:
            raise ValueError(f"{key!r} is no cache key: {problem}")
    path = (*group, *names)
    if len("/".join(path).encode()) > MAX_KEY_BYTES:
        raise ValueError(
            f"a cache key of {len(key)} characters is too long: groups included, {MAX_KEY_BYTES} bytes fit"
        )
    return path


def parse_prefix(prefix: Any) -> Names:
    """Return the names of the prefix of a bucket cache; slashes at its ends mean nothing.

    Raises:
        ValueError: It could not be part of a key, or leaves no room for one.
        TypeError: It is not text.
    """
    stripped = prefix.strip("/") if isinstance(prefix, str) else prefix
    if stripped == "":
        return ()
    path = parse(stripped)
    if len("/".join(path).encode()) > MAX_PREFIX_BYTES:
        raise ValueError(f"the prefix of a cache has at most {MAX_PREFIX_BYTES} bytes, which leaves room for the keys")
    return path


def is_name(name: str) -> bool:
    """Tell whether something found in a group is a key of it, and nothing that others put there."""
    return _problem(name) is None and unicodedata.is_normalized("NFC", name) and "/" not in name


def as_value(value: Any) -> bytes:
    """Return the bytes to keep.

    Raises:
        TypeError: They are no bytes.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"a cache keeps bytes, not a {type(value).__name__}; encode it first, for example as JSON")


def not_cached(key: str) -> KeyError:
    """Return the error for a key without a value."""
    return KeyError(f"{key} is not cached!")


def check_for_windows(path: Sequence[str]) -> None:
    """Refuse what Windows would take for a device, a stream or another name.

    Raises:
        ValueError: It would.
    """
    for name in path:
        if _WINDOWS.search(name):
            raise ValueError(f"{name!r} cannot be part of a cache key here: Windows has no file of that name")


def _problem(name: str) -> str | None:
    if not name:
        return "it is empty, or has a `/` at an end, or two in a row"
    if name in {".", ".."}:
        return f"`{name}` would lead elsewhere"
    if "\\" in name:
        return "groups are separated by `/`, not by a backslash"
    if _UNSPEAKABLE.search(name):
        return "it holds a control character, or what is no character"
    if _DRIVE.match(name):
        return "it names a drive"
    if name.casefold().startswith(RESERVED):
        return f"names that begin with `{RESERVED}` are reserved"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"the name of a group or value has at most {MAX_NAME_BYTES} bytes"
    return None
