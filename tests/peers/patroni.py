"""Tells who is the primary as Patroni's REST API does: 200 from a primary, else 503.

Usage: patroni.py ADDRESS PORT POSTGRES-PORT PSQL

Debian's psql is a script that looks for a program, which takes time: PSQL is that program.
"""

import http.server
import subprocess
import sys

address, port, postgres = sys.argv[1], int(sys.argv[2]), sys.argv[3]
psql = [sys.argv[4], "-h", address, "-p", postgres, "-U", "txlb", "-wAtc", "select pg_is_in_recovery()", "postgres"]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = subprocess.run(psql, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        is_primary = answer.stdout == b"f\n"
        self.send_response(200 if self.path == "/primary" and is_primary else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((address, port), Handler).serve_forever()
