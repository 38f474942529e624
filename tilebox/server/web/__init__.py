"""HTTP independent of the services: the outermost ASGI layer, bodies, and unary calls over Connect and gRPC.

May import: `tilebox._core`, `tilebox.errors`, `server.access`, connectrpc.
"""
