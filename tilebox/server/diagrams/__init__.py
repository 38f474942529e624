"""Jobs as diagrams: which tasks get nodes of their own, the text in the D2 language, and the picture.

May import: `store`, `rules`, `tilebox._core`.
"""
