"""Find why an endpoint is slow or fails."""
