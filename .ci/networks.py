"""Machines in network namespaces, with hosts and clients, for the tests of more than one txlb.

A namespace lives as long as its first process, which ends with this one. Nothing of it is seen outside.
"""

import collections
import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

PORT = 8000  # of services and of their hosts, where none is said
TIMEOUT_S = 20
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """A child that outlives a killed test would hold its namespaces."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(words, **more):
    return subprocess.Popen(words, preexec_fn=die_with_parent, **more)


def until(what, holds):
    """Waits until it holds, and says how long that took."""
    begin = time.monotonic()
    while not holds():
        if time.monotonic() > begin + TIMEOUT_S:
            sys.exit(f"in vain: {what}")
        time.sleep(0.02)
    return time.monotonic() - begin


class Machine:
    """A network namespace with what runs in it."""

    def __init__(self, name, folder):
        self.name, self.folder = name, os.path.join(folder, name)
        os.makedirs(self.folder, exist_ok=True)
        self.first = start(["unshare", "--net", "--mount", "--uts", "sleep", "infinity"])
        # It is a namespace of its own only once unshare has done its part.
        until("a namespace", lambda: self.links() != Machine.own)
        self.run("ip", "link", "set", "lo", "up")
        self.children = {}
        Machine.all.append(self)

    own, all = os.readlink("/proc/self/ns/net"), []

    def links(self):
        return os.readlink(f"/proc/{self.first.pid}/ns/net")

    def inside(self, *words):
        return ["nsenter", "--target", str(self.first.pid), "--net", "--mount", "--uts", "--", *words]

    def run(self, *words, check=True):
        done = subprocess.run(self.inside(*words), capture_output=True, text=True)
        if check and done.returncode != 0:
            sys.exit(f"{self.name}: {' '.join(words)}: {done.stdout}{done.stderr}")
        return done

    def start(self, what, *words):
        """Starts a program, whose output goes to a file of that name."""
        log = open(os.path.join(self.folder, what + ".log"), "ab")
        self.children[what] = start(self.inside(*words), stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def end(self, what, number=signal.SIGTERM):
        child = self.children.pop(what)
        # nsenter becomes the program, so the signal is the program's.
        child.send_signal(number)
        return child.wait()

    def address(self, link, *addresses):
        for address in addresses:
            self.run("ip", "address", "add", address, "dev", link)
        self.run("ip", "link", "set", link, "up")

    def cable(self, link, switch):
        """A link of this machine to a switch. The port there is named after the machine and the link."""
        port = f"{self.name}-{link}"
        self.run("ip", "link", "add", link, "type", "veth", "peer", "name", port, "netns", str(switch.first.pid))
        switch.run("ip", "link", "set", port, "up", "master", "lan")
        return port


def print_logs(folder, title=""):
    """The end of each log in this folder."""
    for name in sorted(os.listdir(folder)):
        if name.endswith(".log"):
            with open(os.path.join(folder, name), errors="replace") as file:
                print(f"-- {title}{name}\n{file.read()[-3000:]}")


@contextlib.contextmanager
def scene(name, program):
    """A folder with a copy of the program, removed afterwards. After a failure all logs are printed."""
    # keepalived runs nothing out of a folder that others may change.
    folder = tempfile.mkdtemp(prefix=f"txlb-{name}-", dir="/var/lib")
    try:
        os.chmod(folder, 0o755)
        shutil.copy(program, os.path.join(folder, "txlb"))
        yield folder, os.path.join(folder, "txlb")
    except BaseException:
        print_logs(folder)
        for machine in Machine.all:
            print_logs(machine.folder, machine.name + ": ")
        raise
    finally:
        for machine in Machine.all:
            for child in [*machine.children.values(), machine.first]:
                child.kill()
                child.wait()
        shutil.rmtree(folder)


def main(name, packages, act, program="target/release/txlb"):
    """Plays a scene with the program that the command line names, or else this one; `act` gets folder and program."""
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    subprocess.run([".ci/need", *packages], check=True)
    with scene(name, os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else program)) as place:
        act(*place)


def switch(folder, name="switch"):
    machine = Machine(name, folder)
    machine.run("ip", "link", "add", "lan", "type", "bridge", "forward_delay", "0")
    machine.run("ip", "link", "set", "lan", "up")
    return machine


class Balancer:
    """A txlb on a machine, with hosts that listen at PORT of these addresses."""

    def __init__(self, machine, program, hosts):
        self.machine, self.program = machine, program
        # The default paths, so that the files that are tried need no other ones.
        machine.run("mount", "-t", "tmpfs", "none", "/run")
        listed = "".join(f'<host name="{name}" ip="{address}:{PORT}"/>' for name, address in hosts.items())
        self.file = os.path.join(machine.folder, "config.xml")
        with open(self.file, "w") as file:
            file.write(
                f'<config><service name="web"><listen ip="*:{PORT}"/>'
                f'<group name="main" scheduler="maglev" enable="true">{listed}</group></service><control/></config>'
            )

    def start(self):
        self.machine.start("txlb", self.program, "-w", "1", "-f", self.file)
        until(f"txlb of {self.machine.name}", lambda: self.ctl("ready", check=False).returncode == 0)

    def end(self, number):
        return self.machine.end("txlb", number)

    def ended(self):
        return self.machine.children.pop("txlb").wait(TIMEOUT_S)

    def ctl(self, *words, check=True):
        return self.machine.run(self.program, "ctl", *words, check=check)

    def total(self):
        """Sessions so far."""
        words = self.ctl("status").stdout
        line = next(line for line in words.splitlines() if line.strip().startswith("service web"))
        return int(line.split(", ")[-1].split()[0].replace(",", ""))


# What runs in a namespace, as this file with a word.


class Host(socketserver.BaseRequestHandler):
    """Says its name, then echoes."""

    def handle(self):
        self.request.sendall(self.server.name.encode() + b"\n")
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128

    def handle_error(self, request, client_address):
        """A session that was cut is what is tried here."""


def place(address):
    """Address and port of ADDRESS or ADDRESS:PORT."""
    host, _, port = address.partition(":")
    return host, int(port or PORT)


def hosts(*pairs):
    """Hosts, each given as NAME=ADDRESS."""
    for name, address in (pair.split("=") for pair in pairs):
        server = Server(place(address), Host)
        server.name = name
        threading.Thread(target=server.serve_forever).start()


def who(address, source="", timeout=0.25):
    """The host that a new client gets."""
    with socket.create_connection(place(address), timeout, (source, 0) if source else None) as client:
        client.settimeout(timeout)
        name = client.makefile("rb").readline()
        if not name.endswith(b"\n"):
            raise ConnectionError("no name")
        return name.decode().strip()


def asked(address, *sources):
    """Prints the host that a client of each source address gets."""
    for source in sources:
        print(who(address, source, 2), flush=True)


def clients(address, timeout):
    """New clients one after the other. Prints when each was served, or why not."""
    while True:
        try:
            print(time.monotonic(), who(address, timeout=float(timeout)), flush=True)
        except OSError as error:
            print(time.monotonic(), "-", error, flush=True)
        time.sleep(0.01)


def sessions(address, count):
    """Long sessions. Prints the number that live whenever a line is read."""
    alive, tries = {}, 0
    while len(alive) < int(count):
        # What was tried before may not have settled.
        tries += 1
        assert tries < 2 * int(count), "no sessions"
        with contextlib.suppress(OSError):
            client = socket.create_connection(place(address), 2)
            if client.makefile("rb", buffering=0).readline():
                client.setblocking(False)
                alive[client] = time.monotonic()
    print(len(alive), flush=True)
    while True:
        for client in list(alive):
            try:
                with contextlib.suppress(BlockingIOError):
                    client.send(b"x")
                with contextlib.suppress(BlockingIOError):
                    if not client.recv(65536):
                        raise ConnectionError("the end")
                    alive[client] = time.monotonic()
            except OSError:
                del alive[client]
                client.close()
        if select.select([sys.stdin], [], [], 0.05)[0]:
            if not sys.stdin.readline():
                return
            # One that has not been answered for a second is as good as lost.
            print(sum(1 for last in alive.values() if time.monotonic() < last + 1), flush=True)


class Clients:
    """New clients all the time, which wait so many seconds, and long sessions, from a machine to an address."""

    def __init__(self, inside, address, count, timeout=0.25):
        self.served, self.failed = [], collections.Counter()
        words = inside(sys.executable, __file__)
        self.long = start([*words, "sessions", address, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True)
        assert int(self.long.stdout.readline()) == count
        self.new = start([*words, "clients", address, str(timeout)], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        until("clients", lambda: len(self.served) > 10)

    def read(self):
        for line in self.new.stdout:
            at, name, *why = line.split()
            if name == "-":
                self.failed[" ".join(why)] += 1
            else:
                self.served.append(float(at))

    def alive(self):
        self.long.stdin.write("\n")
        self.long.stdin.flush()
        return int(self.long.stdout.readline())

    def longest_gap(self, since):
        """The longest time without a client that was served."""
        times = [at for at in self.served if at >= since - 1]
        return max(later - earlier for earlier, later in zip(times, times[1:]))

    def end(self):
        for child in (self.new, self.long):
            child.kill()
            child.wait()


def trial(what, machine, address, count, event, settled, after_s=1.2):
    """Has an event happen under load. Prints and returns the longest gap and the sessions that were lost."""
    load = Clients(machine.inside, address, count)
    begin = time.monotonic()
    event()
    until(what, settled)
    number = len(load.served)
    until("served again", lambda: len(load.served) > number + 20)
    time.sleep(after_s)
    gap, alive = load.longest_gap(begin), load.alive()
    failed = sum(load.failed.values())
    load.end()
    print(f"{what}: new clients were served again after {gap * 1000:.0f} ms, {failed} were not served, "
          f"{count - alive} of {count} sessions were lost", flush=True)
    return gap, failed, count - alive


if __name__ == "__main__":
    word, *words = sys.argv[1:]
    {"hosts": hosts, "asked": asked, "clients": clients, "sessions": sessions}[word](*words)
