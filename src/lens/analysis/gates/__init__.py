"""Gates: thresholds, SLA files and regressions against a baseline."""
