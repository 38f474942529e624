"""The store in a SQLite file.

May import: `store.sql`, `store.catalogue`, `store.work`, `store.interface`.
"""
