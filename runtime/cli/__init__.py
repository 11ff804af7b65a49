"""The command line: ``tierwise``."""

from tierwise.runtime.cli.program import main

__all__ = ["main"]
