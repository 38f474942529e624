"""Caches of library clients that no caller closes: one client per event loop, or one per process."""
