"""The entry point `python -m tilebox._runner.heartbeat`."""

import os

from tilebox._runner.heartbeat.process import main

main()
# Skip the shutdown of the interpreter: there is nothing to clean up.
os._exit(0)
