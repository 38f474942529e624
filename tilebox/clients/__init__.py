"""Import paths that older code uses."""
