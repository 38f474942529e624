"""Query results as `xarray.Dataset`, decoded eagerly or lazily, and their export to other formats.

May import: `columns`, `geometry`, `schema`, and the rooms above them.
"""
