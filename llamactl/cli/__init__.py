"""The command line: Typer and nothing else knows it."""
