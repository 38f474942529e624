"""HTTP without the services: the envelope of every request, bodies, unary calls over Connect and gRPC.

May import: `tilebox._core`, `tilebox.errors`, `server.access`, connectrpc.
"""
