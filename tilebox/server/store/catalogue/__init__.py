"""Control data of datasets: teams, keys, datasets and collections.

May import: `store.interface`, `store.sql`.
"""
