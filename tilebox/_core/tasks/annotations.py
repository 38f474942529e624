"""What the annotations of dataclass fields mean, also where they are text, as after `from __future__ import annotations`.

A name is looked up where its class is defined: among the locals of a function that defines it, in its module, then
in the class itself. (In the class last, because `date: date = None` means the type and not the default.)
"""

from __future__ import annotations

import sys
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dataclasses
    from types import FrameType


class UnknownNameError(Exception):
    """An annotation names something that is not there, or not yet.

    Args:
        annotation: The annotation, as it is written.
        missing: What is not there.
    """

    def __init__(self, annotation: object, missing: str) -> None:
        super().__init__(f"{annotation!r}: {missing}")
        self.annotation = annotation
        self.missing = missing


class Scope:
    """Where a class is defined, for as long as its annotations are not resolved.

    Args:
        frame: The function or class body that defines it, if it is not a module's own code.
    """

    def __init__(self, frame: FrameType | None = None) -> None:
        self._frame = frame

    @classmethod
    def around(cls, defined: type) -> Scope:
        """Return the scope of a class that is being defined right now."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as the standard library finds a caller's module
        while frame is not None and frame.f_globals.get("__name__") != defined.__module__:
            frame = frame.f_back
        is_module = frame is not None and frame.f_locals is frame.f_globals
        return cls(None if is_module else frame)

    def resolve(self, owner: type, annotation: Any) -> Any:
        """Return what an annotation in the body of a class means.

        Raises:
            UnknownNameError: It names something that is not there; it may be later.
        """
        names = {**vars(owner), **vars(sys.modules.get(owner.__module__, SimpleNamespace())), **self._locals}
        written = SimpleNamespace(__annotations__={"field": annotation})
        try:
            return typing.get_type_hints(written, globalns=names, localns=names, include_extras=True)["field"]
        except (NameError, AttributeError) as error:
            raise UnknownNameError(annotation, str(error)) from error

    def close(self) -> None:
        """Let go of the function's locals, which nobody needs once everything is resolved."""
        self._frame = None

    @property
    def _locals(self) -> dict[str, Any]:
        # Read each time: what is defined further down is there later.
        return self._frame.f_locals if self._frame is not None else {}


def owner_of(cls: type, field: dataclasses.Field[Any]) -> type:
    """Return the class whose body has a field: a dataclass itself, or one that it inherits from."""
    for ancestor in reversed(cls.__mro__):
        if vars(ancestor).get("__dataclass_fields__", {}).get(field.name) is field:
            return ancestor
    return cls
