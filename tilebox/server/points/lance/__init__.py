"""Datapoints in Lance tables: writes, queries, maintenance, snapshots, and schema changes.

May import: all of `points`.
"""
