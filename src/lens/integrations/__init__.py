"""Other systems that work with what is measured here: one module for each."""
