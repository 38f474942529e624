"""The wire: one module a service. Each parses a request, calls one verb of a service, and shapes the answer.

May import: `tilebox._core`, `tilebox.errors`, the server's services, connectrpc, starlette, pyarrow.
"""
