"""Schemas of datasets: fields and their types, definitions by users, the catalogue's tree, and their Arrow form.

May import: `protocol`, `values`, `wire`.
"""
