"""Calls of the API as data: server URL and key, requests, pages, retries, and errors by status.

May import: `protocol`, `values`.
"""
