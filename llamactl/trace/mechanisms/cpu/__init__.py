"""CPU: who was ready and ran, who waited, who was throttled."""
