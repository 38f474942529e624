# Source of tilebox/sync/workflows/__init__.py, which scripts/unasync.py writes.
"""Jobs, clusters, and the runners that execute tasks."""
