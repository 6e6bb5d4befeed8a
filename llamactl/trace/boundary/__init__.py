"""Calls into llama.cpp seen from outside: breakpoints, uprobes, and watchpoints on its buffers."""
