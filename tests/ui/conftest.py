"""The made-up runs and the browser of the tests of the page are those of the ui too, and so are keys sent back."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent / room) for room in ("report", "cli")]
