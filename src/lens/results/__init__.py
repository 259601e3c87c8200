"""What the library gives back: requests and runs as objects, data frames, plain values and HTML."""
