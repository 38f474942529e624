"""Jobs as the client shows them: states, progress, tasks, their representations, and the calls of the API.

May import: `tasks`, `wire`, `values`, `protocol`.
"""
