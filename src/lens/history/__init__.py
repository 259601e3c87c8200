"""Read and write run files."""
