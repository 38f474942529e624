"""Indexes that avoid reading fragments: time filters, time blocks, fragment statistics and spatial copies.

May import: `points.interface`, `keys`, `columns`, `identity`.
"""
