"""Decompression of a body, a slice at a time. Made by Stream.begin_body; for C only."""
