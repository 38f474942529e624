"""Tasks that are defined with either SDK: `make(Task)`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Optional
from uuid import UUID

from google.protobuf.duration_pb2 import Duration


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


@dataclass
class Scene:
    name: str
    bands: list[str] = field(default_factory=list)
    parent: Optional[Scene] = None  # noqa: UP045 - as many write it


def make(task_class: type) -> dict[str, Any]:
    """Return one task of each kind of inputs, by the name of its kind."""
    values: dict[str, tuple[Any, Any]] = {
        "str": (str, 'é"\\\n\x7f\u2028🛰'),
        "int": (int, -5),
        "large int": (int, 2**63 + 5),
        "huge int": (int, 10**30),
        "float": (float, 0.1),
        "whole float": (float, 3.0),
        "int as float": (float, 3),
        "bool": (bool, True),
        "list": (list[int], [1, 2]),
        "bare list": (list, [1, "a", None]),
        "dict": (dict[str, str], {"key": "value"}),
        "dict of lists": (dict[str, list[float]], {"a": [0.5], "b": []}),
        "dict by number": (dict[int, str], {1: "a"}),
        "tuple": (tuple[int, str], (1, "a")),
        "any length": (tuple[int, ...], (1, 2)),
        "set": (set[int], {1}),
        "optional": (Optional[int], None),  # noqa: UP045
        "union": (int | str, "a"),
        "literal": (Literal["a", "b"], "b"),
        "nested": (Scene, Scene("a", ["B02"], Scene("b"))),
        "list of nested": (list[Scene], [Scene("a"), Scene("b")]),
        "optional nested": (Optional[Scene], Scene("a")),  # noqa: UP045
        "enum": (Mode, Mode.EXACT),
        "datetime": (datetime, datetime(2024, 1, 2, 3, 4, 5, 6)),
        "datetime in UTC": (datetime, datetime(2024, 1, 2, tzinfo=UTC)),
        "date": (date, date(2024, 1, 2)),
        "time": (time, time(1, 2, 3)),
        "duration": (timedelta, timedelta(days=1, seconds=2, microseconds=3)),
        "whole duration": (timedelta, timedelta(days=3)),
        "no duration": (timedelta, timedelta(0)),
        "negative duration": (timedelta, -timedelta(days=1, seconds=1.5)),
        "uuid": (UUID, UUID(int=5)),
        "path": (Path, Path("/data/scene.tif")),
        "decimal": (Decimal, Decimal("1.50")),
        "bytes": (bytes, b"\x00\xff"),
        "message": (Duration, Duration(seconds=3)),
        "optional message": (Optional[Duration], Duration(seconds=3)),  # noqa: UP045
        "messages": (list[Duration], [Duration(seconds=3)]),
        "anything": (Any, {"a": [1, None, {"b": 0.5}]}),
    }
    tasks: dict[str, Any] = {name: _define(task_class, [kind])(value) for name, (kind, value) in values.items()}
    tasks["nothing"] = _define(task_class, [])()
    kinds, parts = zip(*values.values(), strict=True)
    tasks["everything"] = _define(task_class, kinds)(*parts)
    return tasks


def _define(task_class: type, kinds: Any) -> Any:
    fields = {f"field_{number}": kind for number, kind in enumerate(kinds)}
    return type("Made", (task_class,), {"__annotations__": fields, "__module__": __name__})
