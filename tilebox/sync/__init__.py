# Generated from tilebox/aio/__init__.py by scripts/unasync.py; do not edit.
"""The IO flow of the client: call, wait, hand the answer to core. Import from `tilebox.datasets` instead."""
