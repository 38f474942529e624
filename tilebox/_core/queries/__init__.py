"""Queries of datapoints: time intervals, areas, filters on fields, and the streamed answers.

May import: `columns`, `geometry`, `schema`, and the rooms above them.
"""
