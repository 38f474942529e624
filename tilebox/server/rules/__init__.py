"""Rules without IO: the state machines of tasks and jobs, and the schema changes that keep all data.

May import: `tilebox._core`.
"""
