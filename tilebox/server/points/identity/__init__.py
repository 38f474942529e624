"""The identity of datapoints: digests of their content, and the ids made from them.

May import: `points.columns`.
"""
