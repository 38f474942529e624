"""Benchmarks, which measure this project and its peers in one run. `nox -s bench -- load` runs one of them.

None of them is a test: machines are noisy, so only ratios within one run are meaningful.
"""
