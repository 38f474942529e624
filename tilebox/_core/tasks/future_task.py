"""How a task names others when it submits: a subtask to wait for, and the cluster to run in."""

from __future__ import annotations

from typing import Any, Protocol


class HasSlug(Protocol):
    """A cluster, as the client returns it."""

    @property
    def slug(self) -> str: ...


ClusterLike = str | HasSlug


class FutureTask:
    """A subtask that was submitted, for others to depend on.

    Args:
        index: Its position among the subtasks of its parent.
        of: The `Subtasks` that it belongs to, if any.
        name: What it is called.
    """

    __slots__ = ("_of", "index", "name")

    def __init__(self, index: int, of: object = None, name: str = "") -> None:
        self.index = index
        self.name = name
        self._of = of

    def is_of(self, subtasks: object) -> bool:
        """Whether it was submitted there."""
        return self._of is subtasks

    def __repr__(self) -> str:
        return f"FutureTask({self.index}{self.name and ', '}{self.name})"


def slug_of(cluster: Any) -> str:
    """Return the slug of a cluster, given as such or as what the client returns.

    Raises:
        TypeError: It is neither.
    """
    slug = cluster if isinstance(cluster, str) else getattr(cluster, "slug", None)
    if not isinstance(slug, str):
        raise TypeError(f"a cluster is named by its slug, or by what clusters() returned, not by {cluster!r}")
    return slug
