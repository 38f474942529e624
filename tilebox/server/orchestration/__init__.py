"""Workflow orchestration: task submissions, leases, jobs, clusters, and the wake-up of waiting runners.

May import: `store`, `rules`, `settings`, `clock`, `diagrams`, `tilebox._core`, `tilebox.errors`.
"""
