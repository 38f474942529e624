"""Task identifiers (name and version), and the rule of which runner may execute which version.

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
    """The name and version of a task.

    Args:
        name: The name, unique among all tasks of a cluster.
        major: The major version. A runner executes only tasks submitted with the same one.
        minor: The minor version. A runner executes tasks submitted with this one or a lower one.
    """

    name: str
    major: int
    minor: int

    @classmethod
    def parse(cls, name: Any, version: Any) -> TaskIdentifier:
        """Return the identifier of a name and a version such as `v1.3`.

        Raises:
            TypeError: The name or the version is not a string.
            ValueError: The name is empty, longer than 256 bytes or not printable, or the version is malformed.
        """
        if not isinstance(name, str) or not isinstance(version, str):
            raise TypeError(f"the name and version of a task must be strings, not {name!r} and {version!r}")
        if not 1 <= len(name.encode("utf-8", "surrogatepass")) <= _MAX_NAME_BYTES:
            raise ValueError(f"the name of a task must have 1 to {_MAX_NAME_BYTES} bytes, but is {name!r}")
        if not name.isprintable():
            raise ValueError(f"the name of a task must be printable, but is {name!r}")
        match = _VERSION.fullmatch(version)
        if not match:
            raise ValueError(f'the version of a task must have the form "v1.3", but is {version!r}')
        return cls(name, int(match[1]), int(match[2]))

    @property
    def version(self) -> str:
        """The version as text: `v1.3`."""
        return f"v{self.major}.{self.minor}"

    def runs(self, submitted: TaskIdentifier) -> bool:
        """Return whether a runner that registers this identifier may execute a task submitted with another one."""
        return self.name == submitted.name and self.major == submitted.major and self.minor >= submitted.minor

    def __str__(self) -> str:
        return f"{self.name} {self.version}"
