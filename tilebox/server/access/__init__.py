"""Authentication and authorization: API keys, their roles, and the admission layer in front of every route.

May import: `tilebox._core`, `tilebox.errors`, the interface of the store.
"""
