"""The HTTP client: opened late, kept per event loop or per process, and never left open with a warning."""
