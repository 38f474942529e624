"""Extends the leases of tasks from a process of its own, whatever the tasks do to the interpreter.

Imports the channel and the generated messages, and nothing else of the package: the process must stay small.
"""
