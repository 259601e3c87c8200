"""From records to decisions: thresholds, filters, comparisons, regressions. Knows only Records."""
