"""The interface between Python and llama.cpp: crossings, bindings, callbacks, what is lost."""
