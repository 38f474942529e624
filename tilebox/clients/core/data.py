"""Time intervals, at their documented import path."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.values.intervals import TimeInterval, TimeIntervalLike

__all__ = ["TimeInterval", "TimeIntervalLike"]

__getattr__, __dir__ = attach(
    __name__, {"TimeInterval": "tilebox._core.values.intervals", "TimeIntervalLike": "tilebox._core.values.intervals"}
)
