"""`python -m tilebox.cli` is `tilebox`."""

from tilebox.cli import main

main()
