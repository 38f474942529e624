"""HTTP/1.1 over sockets of our own, as transports of httpx: a third of its cost a call, a fifteenth a large answer."""
