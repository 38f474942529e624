"""Clients of other libraries that nobody closes: one an event loop, or one a process."""
