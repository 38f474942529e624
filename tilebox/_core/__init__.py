"""Decisions and data, shared by both clients and the server; nothing here waits.

May import: the standard library's data modules, google.protobuf, numpy, pandas, xarray, shapely,
pyarrow where it is installed. Never: anyio, asyncio, httpx, threading, socket, time, the environment.
"""
