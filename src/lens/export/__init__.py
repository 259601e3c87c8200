"""EXPORT MANAGER: records and summaries to the formats that people and tools read."""
