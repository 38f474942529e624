"""Rules without IO: states of jobs and tasks and their transitions, and which changes of a schema lose nothing.

May import: `tilebox._core`.
"""
