"""Datapoints in Lance tables: writing, answering, upkeep, snapshots, and new columns.

May import: all of `points`.
"""
