"""The store of the orchestrator: clusters, jobs, tasks, claims and reports.

May import: `store.sql`, `server.rules`.
"""
