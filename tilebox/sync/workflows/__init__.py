# Generated from tilebox/aio/workflows/__init__.py by scripts/unasync.py; do not edit.
"""Jobs, clusters, and the runners that execute tasks."""
