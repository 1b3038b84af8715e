// Refreshes the page: fetches its live part and merges what differs, so that typed text,
// unfolded parts and the focus stay. Filters while the filter is typed. The page works without
// this script.
"use strict";

(() => {
  const live = document.getElementById("live");
  const refresh = document.getElementById("refresh");
  const now = document.getElementById("now");
  const trouble = document.getElementById("trouble");
  const said = document.getElementById("said");
  if (!live) return;

  // Milliseconds: the interval; the time limit of a response; how long a pointer that was
  // just moved onto a button keeps the page as it is; how long typing may pause.
  const every = Number(refresh.dataset.seconds) * 1000;
  const timeout = Math.max(every, 10000);
  const holdTime = 5000;
  const typingPause = 300;

  // The token of forms. The live part comes without it.
  const token = document.querySelector("input[name=token]")?.value;

  // The time of this place, in 24 hours as UTC is.
  const two = "2-digit";
  const clock = new Intl.DateTimeFormat([], { hour: two, minute: two, second: two, hourCycle: "h23", timeZoneName: "short" });

  let timer = 0;
  let typing = 0;
  let fetching = false;
  let denied = false;
  let stale = false;
  let pointedAt = 0;

  // What makes a node the same one before and after. A button is what it does: it must not
  // turn into another while it is pressed.
  // Test: what_is_about_to_be_pressed_stays_where_it_is.
  function key(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return "#" + node.nodeType;
    if (node.id) return "#" + node.id;
    const of = (name) => node.getAttribute(name) || "";
    const verb = node.nodeName === "BUTTON" ? of("value") : "";
    const summary = node.nodeName === "DETAILS" && node.firstElementChild ? node.firstElementChild.textContent : "";
    return [node.nodeName, of("name"), verb, summary].join("\n");
  }

  // What is unfolded or folded stays so.
  function updateAttributes(old, fresh) {
    const stays = (name) => name === "open" && old.nodeName === "DETAILS";
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !stays(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !stays(name)) old.setAttribute(name, value);
    }
  }

  // Sets the value attribute, which is only an input's initial value: typed text stays.
  function update(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.isEqualNode(fresh)) return;
    updateAttributes(old, fresh);
    const known = new Map();
    for (const child of old.childNodes) {
      const of = known.get(key(child));
      if (of) of.push(child);
      else known.set(key(child), [child]);
    }
    const pairs = [...fresh.childNodes].map((child) => [(known.get(key(child)) || []).shift(), child]);
    for (const gone of [...known.values()].flat()) gone.remove();
    let at = old.firstChild;
    for (const [mine, theirs] of pairs) {
      if (!mine) {
        old.insertBefore(document.importNode(theirs, true), at);
        continue;
      }
      if (mine === at) at = at.nextSibling;
      else old.insertBefore(mine, at);
      update(mine, theirs);
    }
  }

  // Adds what HTML alone cannot say: the token, the time of this place, ticks for all.
  function prepare(part) {
    for (const input of part.querySelectorAll("input[name=token]")) input.setAttribute("value", token);
    for (const all of part.querySelectorAll("input.all")) all.removeAttribute("hidden");
    for (const time of part.querySelectorAll("time")) {
      const local = document.createElement("small");
      local.className = "local";
      local.textContent = clock.format(new Date(time.dateTime));
      time.after(" ", local);
    }
  }

  function downHosts() {
    return [...live.querySelectorAll("[data-down]")].map((row) => row.dataset.down);
  }

  function show(fresh) {
    prepare(fresh);
    const before = new Set(downHosts());
    const headline = live.dataset.headline;
    const focused = document.activeElement;
    update(live, fresh);
    if (focused !== document.activeElement && live.contains(focused)) focused.focus({ preventScroll: true });
    document.title = live.dataset.title;
    const news = downHosts().filter((it) => !before.has(it)).slice(0, 5);
    if (live.dataset.headline !== headline) news.push(live.dataset.headline);
    if (news.length) said.textContent = news.join(". ");
    document.getElementById("refreshed").textContent = ", last at " + asOf();
    countTicks();
  }

  function asOf() {
    const time = live.querySelector("#facts time");
    return time ? time.textContent.slice(11, 19) + " UTC" : "an unknown time";
  }

  function showError(text) {
    if (trouble.textContent !== text) trouble.textContent = text;
    trouble.hidden = !text;
  }

  function isPointedAt() {
    if (document.querySelector("button:active, summary:active")) return true;
    const hovers = matchMedia("(hover: hover)").matches;
    return hovers && Date.now() - pointedAt < holdTime && document.querySelector("button:hover, summary:hover") !== null;
  }

  async function fetchLive() {
    const asked = location.search;
    // An address with a name and a password is no base for others.
    const base = location.origin + location.pathname.replace(/[^/]*$/, "");
    const answer = await fetch(base + "live" + asked, { cache: "no-store", signal: AbortSignal.timeout(timeout) });
    denied = answer.status === 401 || answer.status === 403;
    if (denied) {
      return showError("You are not logged in any more. What is shown is from " + asOf() + ": reload the page.");
    }
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
    if (!fresh) throw new Error("no page");
    showError("");
    // A button was pressed or pointed at meanwhile, or the filter is another one: wait for the
    // next refresh.
    if (!isPointedAt() && asked === location.search) show(fresh);
  }

  async function refreshNow() {
    if (fetching) {
      stale = true;
      return;
    }
    fetching = true;
    stale = false;
    const began = Date.now();
    try {
      if (!isPointedAt()) await fetchLive();
    } catch {
      showError("txlb does not answer. What is shown is from " + asOf() + ".");
    }
    fetching = false;
    if (stale) return refreshNow();
    // A page of thousands of hosts may keep the browser busy for a tenth of the time.
    schedule(Math.max(every, 10 * (Date.now() - began)));
  }

  // After a 401 or 403 it stops: each further one would make the browser ask for a password.
  function isOn() {
    return refresh.checked && !document.hidden && !denied;
  }

  function schedule(ms) {
    clearTimeout(timer);
    if (isOn()) timer = setTimeout(refreshNow, Math.min(ms, 60000 + every));
  }

  // URL, forms and links carry what is asked for, so that it stays after a button and a reload.
  function ask(change) {
    const asked = new URLSearchParams(location.search);
    for (const name of ["notice", "change", "part"]) asked.delete(name);
    change(asked);
    const search = String(asked) && "?" + asked;
    history.replaceState(null, "", location.pathname + search + location.hash);
    for (const form of document.querySelectorAll("form[method=post]")) form.setAttribute("action", "do" + search);
    for (const link of document.querySelectorAll("#now, #notice a")) link.setAttribute("href", "./" + search);
  }

  function onSwitch() {
    ask((asked) => asked.set("refresh", refresh.checked ? refresh.dataset.seconds : "0"));
    resume();
  }

  function resume() {
    if (isOn()) refreshNow();
    else clearTimeout(timer);
  }

  // Hides at once what does not match; what the server says of it follows.
  function narrow() {
    const words = document.getElementById("q").value.toLowerCase().split(/\s+/);
    for (const table of live.querySelectorAll(".hosts")) {
      for (const row of table.tBodies[0].rows) {
        const text = (table.dataset.of + row.cells[1].textContent + " " + row.cells[2].textContent).toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        // What is not seen is not meant.
        const tick = row.querySelector("input[name=host]");
        if (row.hidden && tick) tick.checked = false;
      }
    }
    countTicks();
  }

  function onFilter() {
    const form = document.getElementById("filter");
    if (!form) return;
    ask((asked) => {
      for (const [name, initial] of [["q", ""], ["problems", ""], ["sort", "state"]]) {
        const field = form.elements[name];
        const value = field.type === "checkbox" ? (field.checked ? "1" : "") : field.value.trim();
        if (value === initial) asked.delete(name);
        else asked.set(name, value);
      }
    });
    pointedAt = 0;
    refreshNow();
  }

  function countTicks() {
    const ticked = document.getElementById("ticked");
    const number = live.querySelectorAll("input[name=host]:checked").length;
    if (ticked) ticked.textContent = number === 1 ? "1 ticked host:" : number + " ticked hosts:";
  }

  live.addEventListener("input", (event) => {
    if (event.target.id !== "q") return;
    narrow();
    clearTimeout(typing);
    typing = setTimeout(onFilter, typingPause);
  });
  live.addEventListener("change", (event) => {
    const target = event.target;
    if (target.className === "all") {
      const ticks = [...target.closest("table").querySelectorAll("input[name=host]")];
      const seen = ticks.filter((tick) => tick.offsetParent !== null);
      for (const tick of seen) tick.checked = target.checked;
    }
    if (target.name === "problems" || target.name === "sort") onFilter();
    countTicks();
  });
  live.addEventListener("submit", (event) => {
    if (event.target.id !== "filter") return;
    event.preventDefault();
    clearTimeout(typing);
    onFilter();
  });

  prepare(live);
  countTicks();
  refresh.parentElement.hidden = false;
  refresh.addEventListener("change", onSwitch);
  document.addEventListener("visibilitychange", resume);
  schedule(every);
  now.addEventListener("click", (event) => {
    if (denied) return;
    event.preventDefault();
    pointedAt = 0;
    refreshNow();
  });
  document.addEventListener("pointermove", () => { pointedAt = Date.now(); }, { passive: true });

  // Escape closes what is unfolded of a host.
  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && live.querySelector("details[name=more][open]");
    if (open) {
      open.open = false;
      open.firstElementChild.focus();
    }
  });

  // After a button the page is loaded again: it keeps its scroll position.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    try { sessionStorage.setItem("txlb.at", String(scrollY)); } catch { /* then not */ }
  });
  try {
    const at = sessionStorage.getItem("txlb.at");
    sessionStorage.removeItem("txlb.at");
    if (at !== null && document.getElementById("notice")) scrollTo(0, Number(at));
  } catch { /* then not */ }
})();
