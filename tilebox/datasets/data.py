"""Values that the datasets client takes and gives."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.catalogue import CollectionInfo
    from tilebox._core.times import TimeInterval, TimeIntervalLike, TimeScalar

__all__ = ["CollectionInfo", "TimeInterval", "TimeIntervalLike", "TimeScalar"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "CollectionInfo": "tilebox._core.catalogue",
        "TimeInterval": "tilebox._core.times",
        "TimeIntervalLike": "tilebox._core.times",
        "TimeScalar": "tilebox._core.times",
    },
)
