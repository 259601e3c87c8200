"""Pushes of metrics and alerts to other programs, over one HTTP client that nothing measured uses."""
