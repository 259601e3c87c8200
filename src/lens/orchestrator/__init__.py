"""From a configuration to records: what is sent, when, and the record of each request.

prompts and schedule are pure; plan puts them together and sends nothing; engine sends and keeps time;
collect turns what came off the wire into a Record. Nothing here computes a figure.
"""
