"""The Python inside a process: interpreter, sources, collector, distributions."""
