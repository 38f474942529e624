"""Named SQL statements, verbs as transactions of them, and migrations.

May import: `tilebox._core`, `tilebox.errors`.
"""
