"""The connection: from a name to an Exchange, every phase stamped.

Knows sockets and HTTP/1.1, and nothing of what a provider means by its bytes. Each module takes
what the one before it made: endpoint, resolve, connect, proxy, tls, dial, pool, http1.
"""
