"""Shared by every test. Warnings are errors (pyproject); only tests/e2e may wait for real.

Hypothesis tries the same examples every time, so that a failure is somebody's change and never chance.
To search further: ``--hypothesis-profile=explore``.
"""

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None, database=None, max_examples=60)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("steady")
