"""The admin page in Chromium, driven by Playwright: the scenarios.

Arguments: a scenario, the page's address, the service's address, the configuration
file, and four addresses at which this script is the hosts. It prints what it sees, and
ends with an error at the first thing that is wrong. browser_scene.py watches the browser
meanwhile.
"""

import re
import sys
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

from browser_scene import (
    ADMIN,
    CHROMIUM,
    GUEST,
    OPTIONS,
    Host,
    Scene,
    fits,
    fits_by_box,
    group,
    is_marked,
    is_refused,
    mark,
    more,
    notice,
    picture,
    press,
    row,
    say,
    tick,
    unfold,
    weight_of,
)


def log_in(scene):
    context = scene.browser.new_context()
    is_refused(context.new_page(), scene.url, "ERR_INVALID_AUTH_CREDENTIALS")
    context.close()
    context = scene.browser.new_context(http_credentials={"username": "admin", "password": "wrong"})
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.goto(scene.url)
    expect(page.get_by_role("heading")).to_have_text("401 Unauthorized")
    expect(page.locator("body")).to_contain_text("the name or the password is wrong")
    expect(page.locator("body")).not_to_contain_text("Service")
    # Whatever else were asked for, the browser would ask for a password again.
    assert asked == ["/"], asked
    context.close()
    with scene.page() as page:
        expect(page).to_have_title(re.compile(r"^.+: No host has failed - txlb$"))
        expect(page.locator("#facts")).to_contain_text("admin, may change everything")
        for link in page.locator("footer a").all():
            path = link.get_attribute("href")
            answer = page.request.get(scene.url + path)
            assert answer.ok, f"{path}: {answer.status}"
            say(path, answer.headers["content-type"])


def host_goes_down(scene):
    with scene.page() as page:
        mark(page)
        scene.visit(3)
        expect(row(page, "two").locator(".state")).to_have_text("healthy")
        expect(page).to_have_title(re.compile(r"^.+: No host has failed - txlb$"))
        scene.hosts[1].stop()
        scene.visit(3)
        two = row(page, "two")
        expect(two.locator(".state")).to_have_text("failed")
        expect(two).to_contain_text("connection refused")
        expect(two.get_by_role("button", name="Retry")).to_be_visible()
        expect(page.locator("#verdict")).to_contain_text("1 of 4 hosts has failed.")
        expect(page).to_have_title(re.compile(r"^.+: 1 of 4 hosts has failed - txlb$"))
        expect(page.locator("#said")).to_contain_text("web:main/two failed: connection refused")
        expect(page.locator("#happenings")).to_contain_text("web:main/two is down")
        say(two.inner_text().replace("\n", " "))
        picture(page, "down")
        page.locator("#verdict a").first.click()
        expect(two).to_be_in_viewport()
        scene.hosts[1] = Host(scene.places[1])
        expect(two.locator(".state")).to_have_text("healthy")
        expect(page).to_have_title(re.compile(r"^.+: No host has failed - txlb$"))
        expect(two.get_by_role("button", name="Retry")).to_have_count(0)
        assert is_marked(page), "the page was loaded anew"
        say(two.inner_text().replace("\n", " "))


def switch_group(scene):
    with scene.page() as page:
        spare = group(page, "spare")
        expect(spare.locator(".badge")).to_have_text("not enabled")
        expect(spare.get_by_role("button", name="Enable web:spare")).to_be_hidden()
        with scene.client():
            unfold(spare, "Enable…")
            words = "1 host that new sessions could go to"
            expect(spare.locator("form:visible").first).to_contain_text(words)
            press(spare, "Enable web:spare")
            notice(page, "enableGroup service=web group=spare")
            expect(spare.locator(".badge")).to_have_text("enabled")
            expect(group(page, "main").locator(".badge")).to_have_text("not enabled")
            expect(group(page, "main")).to_contain_text("1 open")
        scene.visit(2)
        expect(row(page, "four").locator("td").nth(4)).to_have_text("2")


def add_drain_remove(scene):
    with scene.page() as page:
        main = group(page, "main")
        unfold(main, "Add a host…")
        press(main, "Add host")  # Nothing is filled in: the browser says so.
        expect(page.locator("#notice")).to_have_count(0)
        main.get_by_label("Name", exact=True).fill("six")
        main.get_by_label("Address").fill("127.0.0.1:99999")
        press(main, "Add host")
        notice(page, "Nothing was done")
        unfold(main, "Add a host…")
        main.get_by_label("Name", exact=True).fill("six")
        main.get_by_label("Address").fill(scene.places[3])
        press(main, "Add host")
        notice(page, "addHost")
        page.get_by_role("link", name="Dismiss").click()
        expect(page.locator("#notice")).to_have_count(0)
        six = row(page, "six")
        with_clients = [scene.client() for _ in range(4)]
        expect(six.locator(".state")).to_have_text("healthy")
        press(six, "Drain web:main/six")
        notice(page, "drainHost service=web group=main name=six")
        expect(six.locator(".state")).to_have_text("draining")
        expect(six.get_by_role("button", name="Remove")).to_be_hidden()
        more(page, "six")
        expect(six).to_contain_text("Its 1 open session lives on.")
        for client in with_clients:
            client.close()
        expect(six.locator(".state")).to_have_text("drained")
        expect(six).to_contain_text("It has no open session.")
        press(six, "Remove web:main/six")
        notice(page, "delHost service=web group=main name=six")
        expect(six).to_have_count(0)


def last_usable(scene):
    with scene.page() as page:
        for name in ("two", "three"):
            more(page, name)
            press(row(page, name), f"Down web:main/{name}")
            notice(page, "hostAdminDown")
        one = row(page, "one")
        expect(one.get_by_role("button", name="Drain web:main/one")).to_be_hidden()
        more(page, "one")
        expect(one).to_contain_text("new sessions will fail")
        picture(page, "last-usable")
        press(one, "Drain web:main/one")
        notice(page, "Nothing was done")
        more(page, "one")
        one.locator("details").get_by_label("even so").check()
        press(one, "Drain web:main/one")
        notice(page, "drainHost service=web group=main name=one force=true")
        expect(page.locator("#verdict")).to_contain_text("Service web has no usable host.")


def weigh_and_save(scene):
    before = scene.text()
    with scene.page() as page:
        expect(page.locator("#stored")).to_contain_text("the same as what is in force")
        weight = weight_of(page, "three")
        more(page, "three")
        expect(weight).to_have_value("2")
        weight.fill("1000001")
        weight.press("Enter")  # Too much: the browser says so.
        expect(page.locator("#notice")).to_have_count(0)
        weight.fill("9")
        weight.press("Enter")
        notice(page, "setWeight service=web group=main name=three weight=9")
        expect(weight).to_have_value("9")
        expect(row(page, "three").locator(".state")).to_have_text("untried")
        expect(page.locator("#stored .badge")).to_have_text("1 change is not in the file")
        assert scene.text() == before
        unfold(page.locator("#stored"), "Show what saving would write")
        expect(page.locator("#stored pre")).to_contain_text("weight=9")
        press(page, "Save to the file")
        notice(page, "saveConfig")
        expect(page.locator("#stored .badge")).to_have_count(0)
    assert scene.text() == before.replace('weight="2"', 'weight="9"'), scene.text()


def stale_page(scene):
    with scene.page() as page:
        page.get_by_role("switch").uncheck()
        scene.tell(page, "setWeight", service="web", group="main", name="one", weight="3")
        press(row(page, "two"), "Drain web:main/two")
        notice(page, "the configuration has changed meanwhile")
        expect(page.locator("#notice")).to_contain_text("Nothing was done")
        expect(row(page, "two").locator(".state")).to_have_text("untried")
        # What is shown now is true again.
        press(row(page, "two"), "Drain web:main/two")
        notice(page, "Done")


def refresh_switch(scene):
    with scene.page() as page:
        page.clock.install()
        page.reload()
        mark(page)
        time, switch = page.locator("#facts time"), page.get_by_role("switch")
        first = time.inner_text()
        expect(switch).to_be_checked()
        expect(time).not_to_have_text(first)
        expect(page.locator("#refreshed")).to_contain_text("last at")
        figures, asked = page.locator(".service > .head > .figures"), []
        # There is a second until the next one.
        with page.expect_response("**/live*"):
            pass
        switch.uncheck()
        # What the script asks for: the browser asks for the icon when it likes.
        page.on("request", lambda request: request.resource_type == "fetch"
                and asked.append(urlsplit(request.url).path))
        scene.visit(3)
        for _ in range(2):
            page.clock.fast_forward("10:00")
            page.evaluate("fetch('/healthz')")
        assert asked == ["/healthz"] * 2, asked
        expect(figures).to_contain_text(" 0 in all")
        page.get_by_role("link", name="Refresh now").click()
        expect(figures).to_contain_text(" 3 in all")
        assert is_marked(page), "the page was loaded anew"
        page.reload()
        expect(switch).not_to_be_checked()
        press(row(page, "one"), "Drain web:main/one")
        notice(page, "drainHost")
        expect(switch).not_to_be_checked()
        page.get_by_role("link", name="Dismiss").click()
        expect(page.locator("#notice")).to_have_count(0)
        expect(switch).not_to_be_checked()
        switch.check()
        now = time.inner_text()
        expect(time).not_to_have_text(now)
    # As the address says, whatever the file says.
    scene.url += "?refresh=0"
    with scene.page() as page:
        expect(page.get_by_role("switch")).not_to_be_checked()
        page.get_by_role("switch").check()
        now = page.locator("#facts time").inner_text()
        expect(page.locator("#facts time")).not_to_have_text(now)
        press(row(page, "two"), "Drain web:main/two")
        notice(page, "drainHost")
        expect(page.get_by_role("switch")).to_be_checked()


def typing_stays(scene):
    with scene.page() as page:
        mark(page)
        main, time = group(page, "main"), page.locator("#facts time")
        unfold(main, "Add a host…")
        name = main.get_by_label("Name", exact=True)
        name.press_sequentially("half a na")
        more(page, "one")
        weight = weight_of(page, "one")
        weight.fill("12")
        name.focus()
        for _ in range(2):
            before = time.inner_text()
            scene.visit(4)
            expect(time).not_to_have_text(before)
        name.press_sequentially("me")
        expect(name).to_have_value("half a name")
        expect(name).to_be_focused()
        expect(weight).to_have_value("12")
        # A host that comes before it does not take its place.
        scene.tell(page, "addHost", service="web", group="main", name="zero",
                   ip=scene.places[3], before="one")
        expect(row(page, "zero")).to_be_visible()
        expect(weight).to_have_value("12")
        expect(weight_of(page, "zero")).to_have_value("1")
        expect(name).to_be_focused()
        assert is_marked(page), "the page was loaded anew"


def pointed_at(scene):
    with scene.page() as page:
        page.clock.install()
        page.reload()
        drain = row(page, "one").get_by_role("button", name="Drain")
        drain.hover()
        place, asked = drain.bounding_box(), []
        page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        scene.tell(page, "addHost", service="web", group="main", name="zero",
                   ip=scene.places[3], before="one")
        page.clock.fast_forward(3000)
        page.evaluate("fetch('/healthz')")
        assert asked == ["/healthz"] and drain.bounding_box() == place, asked
        # A pointer that only rests there holds nothing back for long.
        page.clock.fast_forward(10000)
        expect(row(page, "zero")).to_be_visible()
        assert drain.bounding_box() != place


def read_only(scene):
    with scene.page(GUEST) as page:
        expect(page.locator("#facts")).to_contain_text("guest, may only read")
        expect(page.locator(".hosts tbody tr")).to_have_count(4)
        for what in ("button[name=verb]", "form[method=post]", "input[type=checkbox][name=host]"):
            expect(page.locator(what)).to_have_count(0)
        answer = page.request.post(f"{scene.url}api/reload")
        assert answer.status in (403, 409), answer.status
        fits(page)


def nasty_names(scene):
    service = "<script>alert(1)</script>"
    place = "a&amp;b\"'><img src=x onerror=alert(2)>"
    shown = "x\\u{202e}y\" autofocus onfocus=\"alert(3)"
    with scene.page() as page:
        expect(page.get_by_role("heading", name=service)).to_be_visible()
        expect(page.get_by_role("heading", name=place)).to_be_visible()
        expect(page.get_by_role("rowheader", name=shown)).to_be_visible()
        assert page.locator("#live script, #live img, [onfocus]").count() == 0
        scene.hosts[0].stop()
        scene.visit(3)
        expect(page.locator("#verdict a")).to_have_text(f"{service}:{place}/{shown}")
        first = page.locator(".hosts tbody tr").first
        expect(first.locator(".state")).to_have_text("failed")
        first.locator("summary").click()
        press(first, "Drain")
        notice(page, "drainHost")
        expect(first.locator(".state")).to_have_text("drained")
        picture(page, "nasty")
        press(page, "Save to the file")
        notice(page, "saveConfig")
        first.locator("summary").click()
        press(first, "Remove")
        notice(page, "delHost")
        expect(page.locator(".hosts tbody tr")).to_have_count(3)
        fits(page)
    with scene.page(viewport={"width": 360, "height": 740}) as page:
        fits(page)


def refresh_without_script(scene):
    with scene.page(java_script_enabled=False) as page:
        figures = page.locator(".service > .head > .figures")
        scene.visit(2)
        expect(figures).to_contain_text(" 2 in all")
        # What would be lost by it is not there, but where it is not refreshed.
        drain = row(page, "one").get_by_role("button", name="Drain")
        expect(drain).to_be_visible()
        for lost in ("summary:visible", "#live input:visible"):
            for what in page.locator(lost).all():
                raise AssertionError(f"{what.inner_text()!r} can be lost")
        expect(row(page, "three").locator("td.n").last).to_contain_text("2")
        picture(page, "no-javascript-refreshing", full_page=True)
        group(page, "main").get_by_role("link", name="Change… web:main", exact=True).click()
        expect(page).to_have_url(re.compile(r"/\?change#g\.web\.main$"))
        main = group(page, "main")
        unfold(main, "Add a host…")
        name = main.get_by_label("Name", exact=True)
        name.fill("half a name")
        picture(page, "no-javascript-change", full_page=True)
        # Another page is refreshed meanwhile, more often than this one would have been.
        with scene.page(java_script_enabled=False) as other:
            for _ in range(3):
                with other.expect_navigation():
                    pass
        expect(name).to_have_value("half a name")
        name.fill("six")
        main.get_by_label("Address").fill(scene.places[3])
        press(main, "Add host")
        notice(page, "addHost")
        # Back, and refreshed again.
        expect(page.locator("#notice")).to_have_count(0)
        scene.visit(2)
        expect(figures).to_contain_text(" 4 in all")
        page.get_by_role("link", name="Stop").click()
        expect(page).to_have_url(re.compile(r"refresh=0$"))
        expect(page.locator("noscript meta")).to_have_count(0)
        press(row(page, "one"), "Drain web:main/one")
        notice(page, "drainHost")
        page.get_by_role("link", name="Dismiss").click()
        page.get_by_role("link", name="Refresh now").click()
        expect(page).to_have_url(re.compile(r"refresh=0$"))
        page.get_by_role("link", name="Start, every 1 s").click()
        scene.visit(2)
        expect(figures).to_contain_text(" 6 in all")


def without_script(scene):
    scene.url += "?refresh=0"
    with scene.page(java_script_enabled=False) as page:
        expect(page.get_by_role("switch")).to_have_count(0)
        scene.hosts[1].stop()
        scene.visit(3)
        page.get_by_role("link", name="Refresh now").click()
        expect(row(page, "two").locator(".state")).to_have_text("failed")
        picture(page, "no-javascript", full_page=True)
        press(row(page, "one"), "Drain web:main/one")
        notice(page, "drainHost")
        main = group(page, "main")
        unfold(main, "Add a host…")
        main.get_by_label("Name", exact=True).fill("six")
        main.get_by_label("Address").fill(scene.places[3])
        press(main, "Add host")
        notice(page, "addHost")
        more(page, "six")
        weight = weight_of(page, "six")
        weight.fill("4")
        weight.press("Enter")
        notice(page, "setWeight")
        more(page, "one")
        press(row(page, "one"), "Remove web:main/one")
        notice(page, "delHost")
        unfold(group(page, "spare"), "Enable…")
        press(group(page, "spare"), "Enable web:spare")
        notice(page, "enableGroup")
        press(page, "Save to the file")
        notice(page, "saveConfig")
        expect(page.locator("#stored .badge")).to_have_count(0)
        fits_by_box(page)
    text = scene.text()
    assert 'name="six"' in text and 'name="one"' not in text, text
    assert "Ask before you touch it." in text, text


def keyboard(scene):
    with scene.page() as page:
        page.get_by_role("switch").uncheck()
        page.reload()
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        expect(page.locator(".skip")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        reached = []
        for _ in range(90):
            page.keyboard.press("Tab")
            name, outline = page.evaluate("""() => {
                const it = document.activeElement;
                const style = getComputedStyle(it);
                return [it.getAttribute("aria-label") || it.textContent,
                        style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)];
            }""")
            assert outline >= 2, f"no outline around {name!r}"
            reached.append(name)
            if name == "Drain web:spare/four":
                break
        for name in ("Tick web:main/one", "More of web:main/one", "Drain web:main/one", "Enable… web:spare"):
            assert name in reached, f"{name!r} is not among {reached}"
        say(len(reached), "things from the top to the last button")
        page.keyboard.press("Enter")
        notice(page, "drainHost service=web group=spare name=four")
        # Behind the dots, and back by Escape.
        dots = row(page, "one").locator("summary")
        dots.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(weight_of(page, "one")).to_be_focused()
        page.keyboard.press("Escape")
        expect(dots).to_be_focused()
        expect(weight_of(page, "one")).to_be_hidden()
        page.locator("summary").filter(has_text="Enable…").focus()
        page.keyboard.press("Enter")
        # The group has no usable host any more.
        page.keyboard.press("Tab")
        expect(group(page, "spare").get_by_label("even so")).to_be_focused()
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Enable web:spare")).to_be_focused()
        page.keyboard.press("Enter")
        notice(page, "enableGroup service=web group=spare force=true")


def narrow(scene):
    scene.visit(6)
    scene.hosts[1].stop()
    scene.visit(3)
    phone = {"width": 360, "height": 740}
    for scheme in ("light", "dark"):
        for name, view in (("phone", phone), ("wide", {"width": 1280, "height": 900})):
            is_phone = name == "phone"
            with scene.page(viewport=view, color_scheme=scheme, is_mobile=is_phone,
                            has_touch=is_phone) as page:
                expect(row(page, "two").locator(".state")).to_have_text("failed")
                for summary in page.locator("summary:visible").all():
                    if summary.inner_text().startswith("Hosts"):
                        continue
                    # Another one may be below what is unfolded.
                    summary.click()
                    fits(page)
                    summary.click()
                page.reload()
                fits(page)
                height = page.evaluate("document.documentElement.scrollHeight")
                page.set_viewport_size({"width": view["width"], "height": height})
                picture(page, f"{name}-{scheme}")
    for width in (320, 641, 768, 1024, 1121, 1920):
        with scene.page(viewport={"width": width, "height": 900}) as page:
            fits(page)


def many_hosts(scene):
    scene.visit(9)
    scene.hosts[1].stop()
    scene.visit(25)
    for width, height in ((1280, 800), (1440, 900)):
        with scene.page(viewport={"width": width, "height": height}) as page:
            fits(page)
            expect(page.locator("#tools")).to_contain_text("300 hosts")
            expect(page.locator("tr.failed").first).to_be_visible()
            picture(page, f"many-{width}")
            screens = page.evaluate("document.documentElement.scrollHeight / innerHeight")
            rows = page.evaluate("""() => [...document.querySelectorAll(".hosts tbody tr")]
                .filter((row) => row.getClientRects().length).map((row) => {
                    const [cell, name] = [row.cells[1], row.querySelector("bdi")];
                    const whole = name.offsetWidth <= cell.clientWidth;
                    return [row.getBoundingClientRect().height, name.getClientRects().length,
                            whole || name.title === name.textContent, name.textContent];
                })""")
            say(f"{len(rows)} rows, {screens:.1f} screens of {width} x {height}")
            assert screens < 10, screens
            for tall, lines, whole, name in rows:
                assert 28 <= tall <= 34 and lines == 1 and whole, (tall, lines, whole, name)
            # Hosts without a problem are unfolded by a press, and stay so. What is not seen is
            # not ticked.
            name = "Tick all shown hosts of shop9:main"
            page.get_by_role("checkbox", name=name).check()
            expect(page.locator("#ticked")).to_have_text("10 ticked hosts:")
            seen = page.locator("section[id='g.shop9.main'] tbody tr:visible")
            expect(seen).to_have_count(10)
            unfold(group(page, "main").last, "15 more hosts without a problem")
            expect(seen).to_have_count(25)
            time = page.locator("#facts time")
            before = time.inner_text()
            expect(time).not_to_have_text(before)
            expect(seen).to_have_count(25)
            expect(page.locator("#ticked")).to_have_text("10 ticked hosts:")


def filter_and_tick(scene):
    with scene.page() as page:
        mark(page)
        rows = page.locator(".hosts tbody tr:visible")
        expect(rows).to_have_count(4)
        # Narrower while it is typed, in the address too, and back.
        words = page.get_by_label("Filter")
        words.press_sequentially("MAIN/t")
        expect(rows).to_have_count(2)
        expect(page).to_have_url(re.compile(r"\?q=MAIN%2Ft$"))
        expect(page.locator("#tools")).to_contain_text("2 of 4 hosts")
        expect(group(page, "spare")).to_have_count(0)
        tick(page, "two")
        tick(page, "three")
        expect(page.locator("#ticked")).to_have_text("2 ticked hosts:")
        # Ticks stay through a refresh.
        time = page.locator("#facts time")
        before = time.inner_text()
        expect(time).not_to_have_text(before)
        expect(page.locator("#ticked")).to_have_text("2 ticked hosts:")
        picture(page, "ticked")
        press(page.locator("#many"), "Drain")
        notice(page, "drainHost of 2 hosts")
        expect(page).to_have_url(re.compile(r"q=MAIN%2Ft"))
        for name in ("two", "three"):
            expect(row(page, name).locator(".state")).to_have_text("drained")
        page.get_by_role("link", name="Show all hosts").click()
        # Whole or not at all: the last usable one is among them.
        page.get_by_role("checkbox", name="Tick all shown hosts of web:main").check()
        expect(page.locator("#ticked")).to_have_text("3 ticked hosts:")
        press(page.locator("#many"), "Down")
        notice(page, "Nothing was done")
        expect(row(page, "two").locator(".state")).to_have_text("drained")
        tick(page, "one")
        tick(page, "two")
        page.locator("#many").get_by_role("spinbutton").fill("7")
        page.locator("#many").get_by_role("spinbutton").press("Enter")
        notice(page, "setWeight of 2 hosts")
        expect(row(page, "one").locator("td").nth(11)).to_have_text("7")
        # Only problems, without and with one.
        page.get_by_label("only problems").check()
        expect(page.locator("#tools")).to_contain_text("None of 4 hosts")
        scene.hosts[0].stop()
        scene.visit_in_vain()
        expect(page.locator("#tools")).to_contain_text("1 of 4 hosts")
        expect(row(page, "one").locator(".state")).to_have_text("failed")
        expect(page.locator("#strip .tile")).to_contain_text("1/4 up")
        # The address alone shows the same without a script.
        scene.url += "?problems=1&sort=open"
    with scene.page(java_script_enabled=False) as page:
        expect(page.locator(".hosts tbody tr")).to_have_count(1)
        expect(page.get_by_role("columnheader", name="Open")).to_have_attribute("aria-sort", "descending")


def local_time(scene):
    with scene.page(timezone_id="Asia/Kolkata", locale="en-GB") as page:
        figure = page.locator("#facts dd").filter(has=page.locator("time"))
        utc = figure.locator("time").inner_text()
        minutes = int(utc[11:13]) * 60 + int(utc[14:16]) + 330
        expect(figure.locator(".local")).to_contain_text(f"{minutes // 60 % 24:02}:{minutes % 60:02}:")


def end_sessions_of_a_client(scene):
    with scene.page() as page:
        clients = [scene.client() for _ in range(3)]
        table = page.locator("#sessions tbody tr")
        expect(table).to_have_count(3)
        unfold(table.first, "End…")
        press(table.first, "End all of 127.0.0.1")
        notice(page, "endSessions client=127.0.0.1")
        for client in clients:
            assert not client.recv(1), "it did not end"
        expect(table).to_have_count(0)


def txlb_is_gone(scene):
    with scene.page() as page:
        mark(page)
        expect(page.locator("#refreshed")).to_contain_text("last at")
        page.route("**/live*", lambda route: route.fulfill(status=204))
        trouble = page.locator("#trouble")
        expect(trouble).to_contain_text("txlb does not answer. What is shown is from")
        page.unroute("**/live*")
        expect(trouble).to_be_hidden()
        assert is_marked(page), "the page was loaded anew"


def https(scene):
    with scene.page(ignore_https_errors=True) as page:
        mark(page)
        before = page.locator("#facts time").inner_text()
        expect(page.locator("#facts time")).not_to_have_text(before)
        assert is_marked(page), "the page was loaded anew"
        press(row(page, "one"), "Drain web:main/one")
        notice(page, "drainHost")
    context = scene.browser.new_context(http_credentials=ADMIN)
    is_refused(context.new_page(), scene.url, "ERR_CERT_AUTHORITY_INVALID")


def main():
    name, page, service, file, *places = sys.argv[1:]
    print(name, flush=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        browser = chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        expect.set_options(timeout=15000)
        globals()[name](Scene(browser, page, service, file, places))
        browser.close()


main()
