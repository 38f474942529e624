"""Tilebox: space data as xarray datasets, and workflows that run anywhere.

Importing this package costs nothing; `tilebox.datasets` holds the datasets client.
"""

__version__ = "0.1.0"
