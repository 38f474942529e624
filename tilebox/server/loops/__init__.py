"""What the server does by itself: one background loop a file, each with `run_once(now)` and `run()`.

May import: `tilebox._core`, `tilebox.errors`, the interfaces of store and points.
"""
