"""An agent beside a host: says to everybody what stands in a file, as HAProxy's agents do.

Usage: agent.py PORT FILE
"""

import pathlib
import socketserver
import sys


class Agent(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(pathlib.Path(sys.argv[2]).read_bytes())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


Server(("127.0.0.1", int(sys.argv[1])), Agent).serve_forever()
