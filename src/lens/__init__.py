"""LLM-Latency-Lens: an oscilloscope for streaming LLM APIs."""

__version__ = "0.1.0"
