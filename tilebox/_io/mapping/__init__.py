"""The interface of a cache: a mapping on the sync side, coroutines and `async for` on the async side."""
