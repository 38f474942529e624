"""Conversion of the data that users ingest to batches of requests, by whole columns if possible, else value by value.

May import: `columns`, `geometry`, `schema`, and the rooms above them.
"""
