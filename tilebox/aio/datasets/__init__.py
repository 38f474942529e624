# Source of tilebox/sync/datasets/__init__.py, which scripts/unasync.py writes.
"""Datasets, their collections, and the datapoints in them."""
