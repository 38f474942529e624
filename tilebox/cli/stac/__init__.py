"""The command `tilebox import stac`: read STAC items, turn them into datapoints and ingest them.

May import: `tilebox._core`, `tilebox.datasets`, and `invocation` of the room around it.
"""
