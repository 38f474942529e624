"""Named SQL statements, the transactions that are made of them, and migrations.

May import: `tilebox._core`, `tilebox.errors`.
"""
