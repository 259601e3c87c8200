"""The made-up runs and the browser of the tests of the page are those of the ui too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))
