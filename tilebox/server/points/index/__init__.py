"""Finding datapoints without reading all: Bloom filters and blocks of times, statistics of fragments, copies ordered by place.

May import: `points.interface`, `keys`, `columns`, `identity`.
"""
