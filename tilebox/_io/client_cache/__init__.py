"""Clients of other libraries that nobody closes: one for each event loop, or one for each process."""
