"""The command `tilebox import stac`: read STAC items, turn them into datapoints and ingest them.

May import: `tilebox._core`, `tilebox.datasets`, `tilebox.errors`, and `tilebox.cli.invocation`.
"""
