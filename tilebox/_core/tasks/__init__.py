"""Task classes and their execution context: identifiers and versions, retries, subtasks and progress.

May import: `protocol`, `values`, `wire`.
"""
