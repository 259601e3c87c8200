"""Probe endpoints continuously: rounds of requests, a page for Prometheus, pushes, alerts and a history with an end."""
