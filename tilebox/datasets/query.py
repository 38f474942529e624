"""What queries are made of."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.filters import field
    from tilebox._core.times import TimeInterval, TimeIntervalLike

__all__ = ["TimeInterval", "TimeIntervalLike", "field"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "TimeInterval": "tilebox._core.times",
        "TimeIntervalLike": "tilebox._core.times",
        "field": "tilebox._core.filters",
    },
)
