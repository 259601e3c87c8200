"""A loopback endpoint that speaks every provider's protocol and keeps a known script.

It logs when each write really happened, so it is the ground truth that the instrument is tested against; therefore
it imports nothing of the instrument, and reads and writes every protocol on its own.

    with start(make_script(ttft="50ms", itl="10ms", tokens=20)) as simulator:
        ...  # simulator.url, simulator.ca_file, simulator.log()
"""

from lens.simulator.launch import Handle, start, start_thread
from lens.simulator.script import OPTIONS, Script, ScriptError, make_script, parse_options

__all__ = ["OPTIONS", "Handle", "Script", "ScriptError", "make_script", "parse_options", "start", "start_thread"]
