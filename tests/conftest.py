"""Settings of the whole test run.

`pytest` runs the fast tests; `pytest -m peers` those that need torch; `pytest -m long` those that take minutes.
`--hypothesis-profile=long` draws 100,000 cases in every test that leaves the number to the profile.
"""

from hypothesis import HealthCheck, settings

for name, cases in {"default": 100, "long": 100_000}.items():
    settings.register_profile(
        name, max_examples=cases, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("default")
