"""The control data in PostgreSQL: sessions, a pool, transactions that share a commit, and the store over them.

May import: the rest of `tilebox.server.store` but for `sqlite`, `tilebox.errors` and the driver.
"""
