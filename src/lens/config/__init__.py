"""Settings of a run: the structs, the files that hold them, and the order in which sources count."""
