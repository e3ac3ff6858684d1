"""What all tests share."""

import os

from hypothesis import settings

# On a developer's machine hypothesis looks for new examples each time; a merge is decided by the same ones every time.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")
