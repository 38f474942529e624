"""From what users pass to `ingest` to batches that can be sent, by whole columns where possible, else value by value.

May import: `columns`, `geometry`, `schema`, and the rooms above them.
"""
