"""The state machine of a runner, which decides when to claim, execute, report, drain and end.

May import: `tasks`, `jobs`, `wire`, `values`, `protocol`.
"""
