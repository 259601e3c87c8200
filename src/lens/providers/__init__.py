"""Provider adapters: sans-IO codecs from a Prompt to bytes, and from an Exchange to a Reading.

No sockets and no clock here; a codec is tested with byte strings.
"""
