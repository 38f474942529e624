"""The inputs of tasks: what types they may have, and how they travel.

May import: `tasks.annotations`, and what `tasks` may; never a class of tasks.
"""
