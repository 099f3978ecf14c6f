"""Whether what takes long is tested as well: HYPOTHESIS_PROFILE=long."""

import os

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
