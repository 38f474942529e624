# Source of tilebox/sync/__init__.py, which scripts/unasync.py writes.
"""The IO flow of the client: call, wait, hand the answer to core. Import from `tilebox.datasets` instead."""
