"""Plain values: ids, points in time, intervals and durations.

May import: `protocol`.
"""
