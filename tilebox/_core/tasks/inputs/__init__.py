"""Task inputs: the types that they may have, and their serialisation.

May import: `tasks.annotations`, and what `tasks` may; never a task class.
"""
