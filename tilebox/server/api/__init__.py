"""The services of the wire, one a module: each method parses its request, calls one service, and builds the response.

May import: `tilebox._core`, `tilebox.errors`, `datasets`, `orchestration`, `diagrams`, `rules`, `access`, `web`,
`settings`, pyarrow, shapely. Not `store` and `points`, types included.
"""
