"""Control data of workflows: clusters, jobs, tasks, claims and reports.

May import: `store.sql`, `server.rules`.
"""
