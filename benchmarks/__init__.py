"""Measurements, ours beside the peer's in one run. `nox -s bench` runs all, `nox -s bench -- load` one.

Nothing here is a test: machines are noisy, so only ratios within one run are quoted.
"""
