"""Calls of the API as data: requests, pages, retries, errors from statuses, and where the server is.

May import: `protocol`, `values`.
"""
