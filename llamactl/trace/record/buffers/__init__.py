"""Who reads what llama.cpp hands out: watchpoints on its buffers."""
