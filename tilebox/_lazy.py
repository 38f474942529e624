"""Names of a package that are imported when they are first used (PEP 562), so that the package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def attach(package: str, origins: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`.

    Args:
        package: Its `__name__`.
        origins: For each name, the module that defines it, or `module:name` where it has another name there.
    """

    def get(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, original = origins[name].partition(":")
        value = getattr(import_module(module), original or name)
        # From now on Python finds it without asking here.
        vars(import_module(package))[name] = value
        return value

    return get, lambda: sorted(origins)
