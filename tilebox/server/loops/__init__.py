"""Background loops of the server: one loop a file, with `run_once()` for one round and `run()` for ever.

May import: `orchestration`, the interfaces of `store` and `points`, `tilebox._core`, `tilebox.errors`.
"""
