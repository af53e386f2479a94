"""The command line: parse, call one function, render. A command's file has its name."""

from sweep.cli.entry import app, main

__all__ = ["app", "main"]
