"""API keys and cloud credentials: where they are found, how they renew themselves, how requests are signed."""
