"""llamactl shows what passes between Python and llama.cpp."""

__version__ = "0.1.0"
