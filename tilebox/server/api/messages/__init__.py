"""Messages of the wire and values of the services: one module reads or writes those of one subject.

May import: what `server.api` may, but none of its services.
"""
