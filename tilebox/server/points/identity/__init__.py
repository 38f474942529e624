"""Which datapoints are the same: digests of their content, and the ids made of them.

May import: `points.columns`.
"""
