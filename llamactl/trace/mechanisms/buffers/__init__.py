"""Buffers that llama.cpp hands out: who reads and copies them."""
