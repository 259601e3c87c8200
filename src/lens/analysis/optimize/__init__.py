"""Choose the target to use from what was measured of several."""
