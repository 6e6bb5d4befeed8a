"""How processes ended, and what went on after."""
