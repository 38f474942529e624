"""Sleeping, concurrent calls, prefetching, and work in threads."""
