"""Folders of small files, written whole or not at all."""
