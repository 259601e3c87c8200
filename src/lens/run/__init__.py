"""Carry out a run: from a configuration to records, with its budget, stop rule, search, journal and warm-up."""
