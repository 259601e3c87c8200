"""The connection: from a host name to an Exchange, every phase stamped.

Knows sockets and HTTP/1.1, and nothing of what a provider means by its bytes. Modules, each above those before it:
endpoint, sockets, resolve, tls, head, proxy, connect, loop, pool, exchange_builder, faults, http1.
"""
