"""Datapoints: an interface of a dozen verbs, and the Lance tables behind it.

May import: `tilebox._core`, `tilebox.errors`, anyio, pyarrow, lance, shapely.
"""
