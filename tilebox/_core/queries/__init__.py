"""Queries of datapoints: intervals, areas, filters on fields, and the answers as they arrive.

May import: `columns`, `geometry`, `schema`, and the rooms above them.
"""
