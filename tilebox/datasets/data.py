"""Types of the arguments and results of the datasets client."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.schema.catalogue import CollectionInfo
    from tilebox._core.values.intervals import TimeInterval, TimeIntervalLike, TimeScalar

__all__ = ["CollectionInfo", "TimeInterval", "TimeIntervalLike", "TimeScalar"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "CollectionInfo": "tilebox._core.schema.catalogue",
        "TimeInterval": "tilebox._core.values.intervals",
        "TimeIntervalLike": "tilebox._core.values.intervals",
        "TimeScalar": "tilebox._core.values.intervals",
    },
)
