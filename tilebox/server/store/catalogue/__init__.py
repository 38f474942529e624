"""The store of the catalogue: teams, keys, groups, datasets and collections.

May import: `store.interface`, `store.sql`.
"""
