"""The agent: a small library that the dynamic linker loads into programs that llamactl starts."""
