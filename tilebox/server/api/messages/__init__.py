"""Conversion between messages of the wire and records of the services, one subject a module.

May import: what `server.api` may, but none of its service modules.
"""
