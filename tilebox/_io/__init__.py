"""Seams: the operations that differ between the async and the sync client, and IO that both share.

A seam is a folder with `aio.py` and `sync.py`, which have the same names. May import: `_core`, anyio, asyncio,
threading, httpx, tqdm. Never: the clients or the server.
"""
