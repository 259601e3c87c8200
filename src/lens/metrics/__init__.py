"""METRICS COLLECTOR: from records to figures. Knows only model, pricing and history; no network, no clock."""
