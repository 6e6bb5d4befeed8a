"""Calls into llama.cpp seen from outside: breakpoints and uprobes."""
