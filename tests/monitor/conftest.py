"""Keys that a server sends back are those of the tests of the commands."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "cli"))
