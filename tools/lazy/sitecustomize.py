"""On the path of builds that count lines: C functions are bound when they are first called.

Such a build keeps the inline functions that nobody calls, those of Python's own headers too,
and some of them name functions that Python does not export.
"""

import os
import sys

sys.setdlopenflags(os.RTLD_LAZY)
