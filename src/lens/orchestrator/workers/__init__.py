"""Several processes that carry out one plan together, on this machine or on a Ray cluster."""
