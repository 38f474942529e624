"""The heartbeat process, which extends leases even while a task holds the interpreter lock of the runner.

May import only the channel and the generated messages, since the process must stay small.
"""
