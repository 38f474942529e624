"""Tasks and their context: classes of tasks, identifiers and versions, retries, and the subtasks that a task submits.

May import: `protocol`, `values`, `wire`.
"""
