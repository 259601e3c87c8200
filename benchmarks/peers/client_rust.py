"""Loads the Rust client inside sglang's wheel, alone, and lets it parse the command line that follows."""

import importlib.util
import sys
from importlib.metadata import distribution

files = distribution("sglang").files or []
path = next(str(f.locate()) for f in files if f.name.startswith("_bench.") and f.suffix == ".so")
spec = importlib.util.spec_from_file_location("_bench", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.run_argv(sys.argv)
