"""A loopback endpoint that speaks every provider's dialect and keeps a known script.

It logs when each write really happened, so it is the truth that the instrument is held to;
therefore it imports nothing of the instrument, and reads and writes every protocol on its own.

    with start(make_script(ttft="50ms", itl="10ms", tokens=20)) as simulator:
        ...  # simulator.url, simulator.ca_file, simulator.log()
"""

from lens.simulator.handle import Handle, start, start_thread
from lens.simulator.script import OPTIONS, Script, ScriptError, fields_of, make_script

__all__ = ["OPTIONS", "Handle", "Script", "ScriptError", "fields_of", "make_script", "start", "start_thread"]
