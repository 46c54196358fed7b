"""Copyist, a self-hosted OCR job service."""

__version__ = "0.1.0"
