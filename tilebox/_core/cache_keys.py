r"""Cache keys: the rules that every cache checks before it touches its storage.

A key is one or more names separated by `/`, as in `scenes/S2A/preview`; all but the last are groups.
The rules are the same for every storage, so that a workflow that runs on a laptop also runs with a bucket:

- A name is not empty, is not `.` or `..`, and has at most 255 bytes. It contains no backslash, no control
  character, and no character that UTF-8 or XML cannot represent. It does not begin with a drive letter (`c:`)
  or with `.tilebox-`, which is reserved. A whole key has at most 900 bytes, which together with the prefix of
  a cache fit into the 1024 bytes of an object name in a bucket.
- A key and a group may have the same name: `a` and `a/b` are two values.
- Keys are normalised to Unicode's form C, in which `é` is one character. Two spellings that look the
  same are therefore one key on every file system.
- Keys are case-sensitive. On a file system that ignores case, `A` and `a` are one file, and the later
  value replaces the earlier one.

Values are bytes and are never interpreted.
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
"""The prefix of file names that a cache uses for itself."""

MAX_NAME_BYTES = 255
MAX_KEY_BYTES = 900
MAX_PREFIX_BYTES = 1024 - MAX_KEY_BYTES - 1

_DRIVE = re.compile(r"[A-Za-z]:")
# Control characters, lone surrogates, and the two code points that XML excludes; bucket listings are XML.
_FORBIDDEN_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_WINDOWS = re.compile(r'[<>:"|?*]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


class NoCacheError(TileboxError, ValueError):
    """A task uses the job cache, but its runner has no cache."""


def parse(key: Any, group: Names = ()) -> Names:
    """Return the names of a key from a caller's argument.

    Args:
        key: Names separated by `/`.
        group: The group that contains the key.

    Raises:
        ValueError: The key breaks a rule, which the message names.
        TypeError: The key is not a string.

    >>> parse("scenes/S2A", ("job",))
    ('job', 'scenes', 'S2A')
    """
    if not isinstance(key, str):
        raise TypeError(f"a cache key must be a str, not a {type(key).__name__}")
    names = tuple(unicodedata.normalize("NFC", key).split("/"))
    for name in names:
        problem = _problem(name)
        if problem:
            raise ValueError(f"{key!r} is not a valid cache key: {problem}")
    path = (*group, *names)
    if len("/".join(path).encode()) > MAX_KEY_BYTES:
        raise ValueError(
            f"a cache key of {len(key)} characters is too long; with its groups, it may have {MAX_KEY_BYTES} bytes"
        )
    return path


def parse_prefix(prefix: Any) -> Names:
    """Return the names of the prefix of a bucket cache; leading and trailing slashes are ignored.

    Raises:
        ValueError: The prefix breaks a rule of keys, or is too long to leave room for one.
        TypeError: The prefix is not a string.
    """
    stripped = prefix.strip("/") if isinstance(prefix, str) else prefix
    if stripped == "":
        return ()
    path = parse(stripped)
    if len("/".join(path).encode()) > MAX_PREFIX_BYTES:
        raise ValueError(
            f"the prefix of a cache may have at most {MAX_PREFIX_BYTES} bytes, so that the keys fit after it"
        )
    return path


def is_name(name: str) -> bool:
    """Return whether a name found in storage is a key, and not a file that something else put there."""
    return _problem(name) is None and unicodedata.is_normalized("NFC", name) and "/" not in name


def as_value(value: Any) -> bytes:
    """Return a value as bytes.

    Raises:
        TypeError: The value is not bytes, a bytearray or a memoryview.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"a cache stores bytes, not a {type(value).__name__}; encode it first, for example as JSON")


def not_cached(key: str) -> KeyError:
    """Return the error for a key without a value."""
    return KeyError(f"{key} is not cached!")


def check_for_windows(path: Sequence[str]) -> None:
    """Refuse names that Windows would treat as a device, a stream or another name.

    Raises:
        ValueError: A name is not possible on Windows.
    """
    for name in path:
        if _WINDOWS.search(name):
            raise ValueError(f"{name!r} cannot be part of a cache key here: Windows does not allow such a file name")


def _problem(name: str) -> str | None:
    if not name:
        return "it is empty, or begins or ends with `/`, or contains `//`"
    if name in {".", ".."}:
        return f"`{name}` would refer to another group"
    if "\\" in name:
        return "groups are separated by `/`, not by a backslash"
    if _FORBIDDEN_CHARACTERS.search(name):
        return "it contains a control character or an invalid character"
    if _DRIVE.match(name):
        return "it begins with a drive letter"
    if name.casefold().startswith(RESERVED):
        return f"names that begin with `{RESERVED}` are reserved"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"the name of a group or value has at most {MAX_NAME_BYTES} bytes"
    return None
