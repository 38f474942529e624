"""Values in a bucket of Google Cloud Storage.

The sync side uses Google's own library, which supports all of Google's credentials and retries by itself. The async
side uses gcloud-aio-storage for a bucket given by name, and Google's library in threads for a bucket object, whose
credentials only that library can use.
"""
