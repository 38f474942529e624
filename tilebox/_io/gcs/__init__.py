"""Values in a bucket of Google Cloud Storage.

Both sides use Google's own library, the async one in threads. It knows all of Google's credentials,
including those of a bucket object that a user made, and it retries; the asyncio libraries do neither.
"""
