"""HTTP/1.1 over sockets of our own, as transports of httpx."""
