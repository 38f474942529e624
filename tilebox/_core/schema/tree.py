"""A tree of dataset names for dotted access: `datasets.open_data.copernicus.sentinel1_sar`."""

from __future__ import annotations

import difflib
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WIDTH = 80
_INDENT = "    "


class Group:
    """A group of datasets and further groups, accessible by name as attributes and as items.

    The class has no public methods, so that no dataset name can clash with one.
    """

    def __init__(self, children: dict[str, Any]) -> None:
        self.__dict__["_children"] = children

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling look up dunder methods before the object has `_children`.
        children = self.__dict__.get("_children", {})
        if name in children:
            return children[name]
        close = difflib.get_close_matches(name, children, n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise AttributeError(f"No such dataset or dataset group '{name}'{hint}")  # the text of the official client

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the list of datasets is read-only: cannot set {name!r}")

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError as error:
            raise KeyError(str(error)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._children

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __len__(self) -> int:
        return len(self._children)

    def __dir__(self) -> list[str]:
        return list(self._children)

    def __repr__(self) -> str:
        return "\n".join(_lines(self, 0)) or "<no datasets>"


def build(datasets: Mapping[str, Any]) -> Group:
    """Return the tree of datasets by slug, with a group for each dotted prefix."""
    root = Group({})
    for slug in sorted(datasets):
        *path, name = slug.split(".")
        group = root
        for part in path:
            child = group._children.setdefault(part, Group({}))  # noqa: SLF001 it builds the group
            if not isinstance(child, Group):
                break  # a dataset has the name of this group and hides it; `Client.dataset(slug)` still works
            group = child
        else:
            group._children[name] = datasets[slug]  # noqa: SLF001 it builds the group
    return root


def _lines(group: Group, depth: int) -> Iterator[str]:
    for name in group:
        child = group[name]
        if isinstance(child, Group):
            yield f"{_INDENT * depth}{name}:"
            yield from _lines(child, depth + 1)
        else:
            summary = " ".join(str(getattr(child, "summary", "")).split())
            text = f"{name}: {summary}" if summary else name
            yield from textwrap.wrap(
                text,
                width=_WIDTH,
                initial_indent=_INDENT * depth,
                subsequent_indent=_INDENT * (depth + 1),
                break_long_words=False,
            )
