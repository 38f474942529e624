"""Execution of a runner's engine, in the caller's event loop or in a new one."""
