"""How many moments: few in the suite, more with ``make soak`` (MOMENTS, SECONDS, FIRST for other ones)."""

from __future__ import annotations

import os
import time

import pytest

MOMENTS = int(os.environ.get("LLAMACTL_SOAK_MOMENTS", "8"))
FIRST = int(os.environ.get("LLAMACTL_SOAK_FIRST", "0"))
SECONDS = float(os.environ.get("LLAMACTL_SOAK_SECONDS", "inf"))
_BEGAN = time.monotonic()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes ``moment`` as many as were asked for."""
    if "moment" in metafunc.fixturenames:
        metafunc.parametrize("moment", range(FIRST, FIRST + MOMENTS))


@pytest.fixture(autouse=True)
def in_time() -> None:
    """Skip what would begin after the time that a soak was given."""
    if time.monotonic() - _BEGAN > SECONDS:
        pytest.skip(f"the {SECONDS:g} seconds of this soak are over")
