"""Services of datasets: the catalogue, ingestion and queries.

May import: `store`, `points`, `rules`, `tilebox._core`.
"""
