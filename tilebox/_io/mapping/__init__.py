"""What a cache looks like: `cache["key"]` on the sync side, coroutines and `async for` on the other."""
