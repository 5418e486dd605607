"""TLS of the servers in Python."""

import os
import ssl


def context():
    """Gives the context for the certificate and the key in the folder BENCH_TLS; None without it."""
    folder = os.environ.get("BENCH_TLS")
    if not folder:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    return made
