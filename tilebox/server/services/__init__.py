"""The verbs: catalogue, ingestion, queries. They know no wire and no HTTP; records and plain values go in and out.

May import: `tilebox._core`, `tilebox.errors`, the interfaces of store and points, pyarrow, shapely.
"""
