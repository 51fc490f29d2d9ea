"""Settings of the whole test run.

`pytest` runs the fast tests, `pytest -m peers` those that need torch, `pytest -m long` those of minutes.
"""

import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure of a test.
settings.register_profile("fastrnn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fastrnn")

# A shell starts jobs in the background with Ctrl-C ignored, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """What a test has drawn does not stay open in the next."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
