"""What the scenarios of browser.py have in common: hosts, the page that is watched, and
short words for what is done there.

Whatever the scenario: a dialog, an error of the page or in the console, and a request
that goes elsewhere are wrong. Pictures go to the folder that TXLB_SCREENSHOTS names, or
to target/screenshots.
"""

import os
import re
import socket
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Error, expect

CHROMIUM = "/usr/bin/chromium"
OPTIONS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
    --disable-background-networking --disable-component-update""".split()
PICTURES = os.environ.get("TXLB_SCREENSHOTS", "target/screenshots")

ADMIN = {"username": "admin", "password": "admin"}
GUEST = {"username": "guest", "password": "guest"}


def told(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


class Host:
    """A server: greets each client, and closes the connection when the client does."""

    def __init__(self, place):
        self.listener = socket.socket()
        # The test keeps the place for us.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.listener.bind(told(place))
        self.listener.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        with client:
            client.sendall(b"hello\n")
            while client.recv(4096):
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Scene:
    """What there is: the page, the service, its file, its hosts, and the browser."""

    def __init__(self, browser, page, service, file, places):
        self.browser, self.url, self.service, self.file = browser, page, service, file
        self.places = places
        self.hosts = [Host(place) for place in places]
        self.wrong = []

    @contextmanager
    def page(self, user=ADMIN, **options):
        """The page as this user sees it, watched."""
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = self.browser.new_context(http_credentials=user, **options)
        context.set_default_timeout(15000)
        page = context.new_page()
        self.watch(page)
        page.goto(self.url)
        yield page
        context.close()
        assert not self.wrong, self.wrong

    def watch(self, page):
        page.on("console", self.heard)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", self.asked)
        page.on("dialog", self.met)

    def heard(self, message):
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def asked(self, request):
        if urlsplit(request.url)[:2] != urlsplit(self.url)[:2]:
            self.wrong.append(f"asked elsewhere: {request.url}")

    def met(self, dialog):
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def tell(self, page, verb, **fields):
        """Another user changes something, through the API."""
        answer = page.request.post(f"{self.url}api/{verb}", form=fields)
        assert answer.ok, answer.text()

    def visit(self, number=1):
        """Clients, one after the other, that are greeted and close."""
        for _ in range(number):
            self.client().close()

    def visit_in_vain(self):
        """A client for which there is no host."""
        try:
            with socket.create_connection(told(self.service), timeout=15) as client:
                assert not client.recv(6)
        except ConnectionError:
            pass

    def client(self):
        client = socket.create_connection(told(self.service), timeout=15)
        assert client.recv(6, socket.MSG_WAITALL) == b"hello\n"
        return client

    def text(self):
        with open(self.file, encoding="utf-8") as file:
            return file.read()


def say(*words):
    print("   ", *words, flush=True)


def row(page, name):
    """A host's row, by what stands at its beginning."""
    return page.locator(".hosts tbody tr").filter(
        has=page.get_by_role("rowheader", name=name)
    )


def weight_of(page, name):
    """The weight behind the dots of a host."""
    return row(page, name).locator("details input[name=weight]")


def more(page, name):
    """Unfolds what is behind the dots of a host, unless it is."""
    details = row(page, name).locator("details[name=more]")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    return details


def tick(page, name):
    row(page, name).get_by_role("checkbox", name="Tick").check()


def group(page, name):
    return page.get_by_role("region", name=re.compile(f"Group {name} of "))


def press(place, name, **options):
    place.get_by_role("button", name=name, **options).click()


def unfold(place, words):
    place.locator("summary").filter(has_text=words).click()


def notice(page, words):
    """What came of a press."""
    expect(page.locator("#notice")).to_contain_text(words)
    say("notice:", page.locator("#notice p").inner_text())


def mark(page):
    """A page that is loaded anew has forgotten this."""
    page.evaluate("window.mark = 7")


def is_marked(page):
    return page.evaluate("window.mark === 7")


def picture(page, name, **options):
    os.makedirs(PICTURES, exist_ok=True)
    page.screenshot(path=os.path.join(PICTURES, f"{name}.png"), **options)


def fits(page):
    """Whether nothing is wider than the window."""
    wide, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    if wide > room:
        beyond = page.evaluate("""(room) => [...document.querySelectorAll("body *")]
            .filter((it) => it.getBoundingClientRect().right > room)
            .map((it) => it.outerHTML.slice(0, 120)).slice(-5)""", room)
        raise AssertionError(f"{wide} pixels wide, of {room}: {beyond}")


def fits_by_box(page):
    """The same, where the page may run no script."""
    box = page.locator("body").bounding_box()
    assert box["x"] + box["width"] <= page.viewport_size["width"], box


def is_refused(page, url, why):
    """The browser itself does not show it."""
    try:
        page.goto(url)
    except Error as error:
        assert why in str(error), error
        say(why)
    else:
        raise AssertionError(f"no {why}")
