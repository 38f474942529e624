"""`python -m tilebox._runner.heartbeat`."""

import os

from tilebox._runner.heartbeat.companion import main

main()
# Without the interpreter's farewell: there is nothing to tidy up.
os._exit(0)
