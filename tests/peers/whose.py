"""A host that asks txlb whose its connections are, as Twisted's own AMP client.

Listens on the loopback address and prints its port; to whoever connects it says
"HOST PORT" of the client that txlb names, or the name of the error. The first
argument is the control socket.
"""

import sys

from twisted.internet import endpoints, protocol, reactor
from twisted.protocols import amp


class UnknownPort(Exception):
    pass


class GetClientAddress(amp.Command):
    arguments = [(b"host", amp.String()), (b"port", amp.Integer())]
    response = [(b"host", amp.String()), (b"port", amp.Integer())]
    errors = {UnknownPort: b"UNKNOWN_PORT"}


class Stop(amp.Command):
    """One that there is not."""


class Host(protocol.Protocol):
    def connectionMade(self):
        peer = self.transport.getPeer()
        asked = control.callRemote(
            GetClientAddress, host=peer.host.encode(), port=peer.port
        )
        asked.addCallbacks(self.found, self.failed)

    def found(self, client):
        self.say("%s %d" % (client["host"].decode(), client["port"]))

    def failed(self, failure):
        self.say(failure.type.__name__)

    def say(self, text):
        self.transport.write(text.encode() + b"\n")
        self.transport.loseConnection()


def connected(protocol_):
    global control
    control = protocol_
    stopped = control.callRemote(Stop)
    stopped.addCallbacks(lambda _: reactor.stop(), listen)


def listen(failure):
    failure.trap(amp.UnhandledCommand)
    factory = protocol.Factory.forProtocol(Host)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    print(port.getHost().port, flush=True)


def lost(failure):
    print(failure, file=sys.stderr)
    reactor.stop()


control = None
endpoint = endpoints.UNIXClientEndpoint(reactor, sys.argv[1])
endpoints.connectProtocol(endpoint, amp.AMP()).addCallbacks(connected, lost)
reactor.run()
