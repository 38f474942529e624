"""Job caches, which share bytes between the tasks of a job: in memory, in files or in a bucket."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.cache_keys import NoCacheError
    from tilebox.sync.workflows.cache import (
        AmazonS3Cache,
        GoogleStorageCache,
        InMemoryCache,
        JobCache,
        LocalFileSystemCache,
        NoCache,
    )

__all__ = [
    "AmazonS3Cache",
    "GoogleStorageCache",
    "InMemoryCache",
    "JobCache",
    "LocalFileSystemCache",
    "NoCache",
    "NoCacheError",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "AmazonS3Cache": "tilebox.sync.workflows.cache",
        "GoogleStorageCache": "tilebox.sync.workflows.cache",
        "InMemoryCache": "tilebox.sync.workflows.cache",
        "JobCache": "tilebox.sync.workflows.cache",
        "LocalFileSystemCache": "tilebox.sync.workflows.cache",
        "NoCache": "tilebox.sync.workflows.cache",
        "NoCacheError": "tilebox._core.cache_keys",
    },
)
