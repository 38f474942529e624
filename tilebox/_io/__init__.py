"""Seams: the few things that differ between the async and the sync client.

A seam is a folder with `aio.py` and `sync.py`, which offer the same names. May import: core, anyio,
asyncio, threading, httpx, tqdm. Never: the clients or the server.
"""
