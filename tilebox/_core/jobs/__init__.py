"""Jobs as users see them: states, progress, tasks, how they print, and the calls that ask for them.

May import: `tasks`, `wire`, `values`, `protocol`.
"""
