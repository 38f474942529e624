"""Resolution of dataclass annotations, including text, as after `from __future__ import annotations`.

A name is looked up where its class is defined: in the locals of the enclosing function, then in the module, then in
the class itself. The class comes last, because `date: date = None` means the type and not the default.
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
    """An annotation uses a name that is not defined, or not yet.

    Args:
        annotation: The annotation as written.
        missing: The message of the original error, which has the missing name.
    """

    def __init__(self, annotation: object, missing: str) -> None:
        super().__init__(f"{annotation!r}: {missing}")
        self.annotation = annotation
        self.missing = missing


class Scope:
    """The namespace in which a class is defined, kept until its annotations are resolved.

    Args:
        frame: The frame of the function or class body that defines the class; None at module level.
    """

    def __init__(self, frame: FrameType | None = None) -> None:
        self._frame = frame

    @classmethod
    def enclosing(cls, class_: type) -> Scope:
        """Return the scope of a class whose definition is being executed."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as the standard library finds a caller's module
        while frame is not None and frame.f_globals.get("__name__") != class_.__module__:
            frame = frame.f_back
        is_module = frame is not None and frame.f_locals is frame.f_globals
        return cls(None if is_module else frame)

    def resolve(self, owner: type, annotation: Any) -> Any:
        """Return the type of an annotation in the body of a class.

        Raises:
            UnknownNameError: A name is not defined; it may be later.
        """
        names = {**vars(owner), **vars(sys.modules.get(owner.__module__, SimpleNamespace())), **self._locals}
        holder = SimpleNamespace(__annotations__={"field": annotation})
        try:
            return typing.get_type_hints(holder, globalns=names, localns=names, include_extras=True)["field"]
        except (NameError, AttributeError) as error:
            raise UnknownNameError(annotation, str(error)) from error

    def close(self) -> None:
        """Release the frame and its locals, once everything is resolved."""
        self._frame = None

    @property
    def _locals(self) -> dict[str, Any]:
        # Read at each call, because names that are defined further down appear later.
        return self._frame.f_locals if self._frame is not None else {}


def owner_of(cls: type, field: dataclasses.Field[Any]) -> type:
    """Return the class whose body declares a field: the dataclass itself, or one of its bases."""
    for ancestor in reversed(cls.__mro__):
        if vars(ancestor).get("__dataclass_fields__", {}).get(field.name) is field:
            return ancestor
    return cls
