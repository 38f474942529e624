"""Footprints and query areas: geometry on the plane and on the sphere, across the antimeridian and around poles.

May import: `protocol`, `values`, `wire`.
"""
