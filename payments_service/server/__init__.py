"""Serve the application with waitress.

This package holds everything that depends on waitress's internals. It is written for waitress 3.0.2, the version that
requirements.txt pins. Each override names the fault it works around and what makes it unnecessary: check them all
whenever the pinned version changes.
"""
from .serve import serve

__all__ = ["serve"]
