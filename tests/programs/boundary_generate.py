"""boundary_generate.py engine|llama_cpp MODEL N: loads the binding, waits for a line, then agent_generate.py."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

importlib.import_module("llamactl.engine" if sys.argv[1] == "engine" else "llama_cpp")
importlib.import_module("llamactl.engine._engine" if sys.argv[1] == "engine" else "llama_cpp.llama_cpp")
print("ready", flush=True)
sys.stdin.readline()
runpy.run_path(str(Path(__file__).with_name("agent_generate.py")), run_name="__main__")
