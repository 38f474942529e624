"""Dataset schemas: fields and types, user definitions, the dataset catalogue, and Arrow schemas.

May import: `protocol`, `values`, `wire`.
"""
