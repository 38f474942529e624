"""Decisions and data without IO, shared by both clients, the runner and the server.

May import: the standard library's data modules, google.protobuf, numpy, pandas, xarray, shapely,
pyarrow where it is installed. Never: anyio, asyncio, httpx, threading, socket, time, the environment.
"""
