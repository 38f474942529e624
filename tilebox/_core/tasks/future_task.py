"""References in submissions: a handle on a subtask to depend on, and a cluster to run in."""

from __future__ import annotations

from typing import Any, Protocol


class HasSlug(Protocol):
    """An object with a slug, such as the `Cluster` that the client returns."""

    @property
    def slug(self) -> str: ...


ClusterLike = str | HasSlug


class FutureTask:
    """A handle on a submitted subtask, for others to depend on.

    Args:
        index: The position of the subtask among the subtasks of its parent.
        collection: The `Subtasks` that the subtask belongs to, if any.
        name: The name of its class.
    """

    __slots__ = ("_collection", "index", "name")

    def __init__(self, index: int, collection: object = None, name: str = "") -> None:
        self.index = index
        self.name = name
        self._collection = collection

    def belongs_to(self, collection: object) -> bool:
        """Return whether the subtask was submitted to this collection."""
        return self._collection is collection

    def __repr__(self) -> str:
        return f"FutureTask({self.index}{self.name and ', '}{self.name})"


def slug_of(cluster: Any) -> str:
    """Return the slug of a cluster, given as the slug or as an object with one.

    Raises:
        TypeError: The value is neither a string nor has a slug.
    """
    slug = cluster if isinstance(cluster, str) else getattr(cluster, "slug", None)
    if not isinstance(slug, str):
        raise TypeError(f"a cluster must be a slug, or a Cluster that the client returned, not {cluster!r}")
    return slug
