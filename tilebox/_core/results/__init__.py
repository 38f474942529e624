"""Datapoints as `xarray.Dataset`: decoded eagerly or lazily, and exported to other formats.

May import: `columns`, `geometry`, `schema`, and the rooms above them.
"""
