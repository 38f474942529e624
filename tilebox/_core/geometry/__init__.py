"""Footprints and query areas on the plane and on the sphere, across the antimeridian and around the poles.

May import: `protocol`, `values`, `wire`.
"""
