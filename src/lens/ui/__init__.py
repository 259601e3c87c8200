"""`lll ui`: the runs of a folder in a browser, while they go on and afterwards."""
