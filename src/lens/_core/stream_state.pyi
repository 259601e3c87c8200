"""The state of one connection; what Python sees of it stands with Stream."""

class StreamState:
    """What whoever reads the socket writes; the base of Stream."""
