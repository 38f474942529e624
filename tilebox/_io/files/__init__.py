"""Values in files, which are written atomically."""
