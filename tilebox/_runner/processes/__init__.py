"""Execution of tasks in child processes, with limits on time and memory.

May import core and the rest of `_runner`. The module `child` runs in the child process, the others in the runner.
"""
