"""The decisions of a runner as a state machine: when to ask, execute, report, drain and end.

May import: `tasks`, `jobs`, `wire`, `values`, `protocol`.
"""
