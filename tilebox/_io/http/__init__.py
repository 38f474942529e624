"""The HTTP client, the caller's or one that is opened at the first call, and the translation of its errors."""
