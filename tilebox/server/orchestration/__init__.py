"""Verbs of workflows: submissions, leases, jobs, clusters, and the waiting of runners for work.

May import: `store`, `rules`, `diagrams`, `tilebox._core`.
"""
