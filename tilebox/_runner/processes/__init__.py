"""Executes tasks in child processes, with limits of time and memory.

Imports core and the rest of the runner's room; `child` runs in the child, the others in the runner.
"""
