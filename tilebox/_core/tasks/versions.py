"""What a task is called and which version of it: identifiers, and which runners may execute what was submitted.

>>> TaskIdentifier.parse("tilebox.com/Mosaic", "v1.3").runs(TaskIdentifier("tilebox.com/Mosaic", 1, 1))
True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_VERSION = re.compile(r"v([0-9]{1,18})\.([0-9]{1,18})")
_MAX_NAME_BYTES = 256


@dataclass(frozen=True, order=True, slots=True)
class TaskIdentifier:
    """A name and a version.

    Args:
        name: Distinguishes tasks across everything that runs on one cluster.
        major: Versions that differ in this do not execute each other's tasks.
        minor: A runner executes what was submitted with this version or a lower one.
    """

    name: str
    major: int
    minor: int

    @classmethod
    def parse(cls, name: Any, version: Any) -> TaskIdentifier:
        """Read a name and a version such as `v1.3`.

        Raises:
            TypeError: One of them is no string.
            ValueError: The name is empty or longer than 256 bytes, or the version is malformed.
        """
        if not isinstance(name, str) or not isinstance(version, str):
            raise TypeError(f"a task's name and version must be strings, not {name!r} and {version!r}")
        if not 1 <= len(name.encode("utf-8", "surrogatepass")) <= _MAX_NAME_BYTES:
            raise ValueError(f"a task's name must have 1 to {_MAX_NAME_BYTES} bytes, which {name!r} has not")
        if not name.isprintable():
            raise ValueError(f"a task's name must be printable text, which {name!r} is not")
        match = _VERSION.fullmatch(version)
        if not match:
            raise ValueError(f'a task\'s version must be written as in "v1.3", which {version!r} is not')
        return cls(name, int(match[1]), int(match[2]))

    @property
    def version(self) -> str:
        """The version as it is written: `v1.3`."""
        return f"v{self.major}.{self.minor}"

    def runs(self, submitted: TaskIdentifier) -> bool:
        """Whether a runner that has this one may execute a task that was submitted as the other."""
        return self.name == submitted.name and self.major == submitted.major and self.minor >= submitted.minor

    def __str__(self) -> str:
        return f"{self.name} {self.version}"
