# Generated from tilebox/aio/datasets/__init__.py by scripts/unasync.py; do not edit.
"""Datasets, their collections, and the datapoints in them."""
