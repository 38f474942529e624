"""The server: catalogue, ingestion and queries behind one port.

May import: `tilebox._core`, `tilebox.errors`, anyio and what the extra `server` brings. Never the clients.
"""
