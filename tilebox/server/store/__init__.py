"""Control data: an interface, and SQLite and PostgreSQL behind it.

May import: `tilebox._core`, `tilebox.errors`, anyio and the database drivers.
"""
