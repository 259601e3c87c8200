"""The timing engine: clocks, framing, signals, tape, reactor and pacer, compiled.

Nothing here knows a provider, a URL or a metric. Other harnesses may `cimport lens._core`.
"""
