"""``python -m llamactl``."""

from llamactl.cli.main import main

main()
