"""The real data sets, which are no part of the project: read in place where they are."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("TIERWISE_DATA") or Path(__file__).parents[2] / "shared/data").resolve()
REASON = f"the real data sets are not in {DATA}: let TIERWISE_DATA name their folder"
needs_real_data = pytest.mark.skipif(not DATA.is_dir(), reason=REASON)
