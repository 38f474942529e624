"""A server process: assembly of its parts, exclusive locks, start and shutdown.

May import: all of `tilebox.server`.
"""
