"""Waiting, doing several things at once, and handing work to threads."""
