"""Entry point of `python -m tilebox.cli`, which is the command `tilebox`."""

from tilebox.cli import main

main()
