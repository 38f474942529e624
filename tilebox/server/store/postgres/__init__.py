"""The control data in PostgreSQL: sessions, a connection pool, group commit, advisory locks and the store over them.

May import: the rest of `tilebox.server.store` except `sqlite`, `tilebox.errors` and asyncpg.
"""
