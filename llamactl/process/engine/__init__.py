"""The llama.cpp inside a process: its libraries, who binds them and how, and whether they fit."""
