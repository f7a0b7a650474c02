"""Rows from files and into files. What needs more than the standard library is imported when a name asks for it."""

from .sinks import FileSink
from .sources import FileSource

__all__ = ["FileSink", "FileSource"]
