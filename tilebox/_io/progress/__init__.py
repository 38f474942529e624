"""Progress bars and notebook output; the same for both clients.

May import: `_core`, tqdm, IPython and ipywidgets where they are installed.
"""
