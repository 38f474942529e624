"""Diagrams of jobs: grouping tasks into nodes, writing D2 text, and rendering it as SVG.

May import: `store`, `rules`, `tilebox._core`.
"""
