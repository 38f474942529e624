"""The HTTP client: ours, opened at the first call and closed with its loop or process, or the caller's."""
