"""Import a module, open libraries, and wait."""

import importlib
import sys

module = importlib.import_module(sys.argv[1])
opened = [module.CDLL(path) for path in sys.argv[2:]]
print("ready", flush=True)
sys.stdin.read()
