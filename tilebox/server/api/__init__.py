"""The wire: one module a service. Each parses a request, calls one verb of a service, and shapes the answer.

May import: `tilebox._core`, `tilebox.errors`, `server.services`, `server.access`, `server.web`, pyarrow, shapely. Not
`server.store` and `server.points`, types included.
"""
