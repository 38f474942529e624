"""A server process: its parts put together, its locks, its start and its end.

May import: all of `tilebox.server`.
"""
