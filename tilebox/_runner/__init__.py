"""The runner: the engine and its task group, the channel to the server, threads and processes for user code.

May import core, but neither the clients nor the server. The engine imports `heartbeat` and `processes`.
"""
