// Refreshes the page: fetches its live part and merges what differs, so that typed text,
// unfolded parts and the focus stay. The page works without this script.
"use strict";

(() => {
  const live = document.getElementById("live");
  const refresh = document.getElementById("refresh");
  const now = document.getElementById("now");
  const trouble = document.getElementById("trouble");
  const said = document.getElementById("said");
  if (!live) return;

  // Milliseconds: the interval; the time limit of a response; how long a pointer that was
  // just moved onto a button keeps the page as it is.
  const every = Number(refresh.dataset.seconds) * 1000;
  const timeout = Math.max(every, 10000);
  const holdTime = 5000;

  let timer = 0;
  let fetching = false;
  let denied = false;
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

  function updateAttributes(old, fresh) {
    const isDetails = old.nodeName === "DETAILS";
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(isDetails && name === "open")) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
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

  function downHosts() {
    return [...live.querySelectorAll("[data-down]")].map((row) => row.dataset.down);
  }

  function show(fresh) {
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
    const answer = await fetch("live" + location.search, { cache: "no-store", signal: AbortSignal.timeout(timeout) });
    denied = answer.status === 401 || answer.status === 403;
    if (denied) {
      return showError("You are not logged in any more. What is shown is from " + asOf() + ": reload the page.");
    }
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
    if (!fresh) throw new Error("no page");
    showError("");
    // A button was pressed or pointed at meanwhile: wait for the next refresh.
    if (!isPointedAt()) show(fresh);
  }

  async function refreshNow() {
    if (fetching) return;
    fetching = true;
    const began = Date.now();
    try {
      if (!isPointedAt()) await fetchLive();
    } catch {
      showError("txlb does not answer. What is shown is from " + asOf() + ".");
    }
    fetching = false;
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

  // URL, forms and links carry the interval, so that it stays after a button and a reload.
  function onSwitch() {
    const search = "?refresh=" + (refresh.checked ? refresh.dataset.seconds : 0);
    history.replaceState(null, "", search + location.hash);
    for (const form of document.forms) form.setAttribute("action", "do" + search);
    for (const link of document.querySelectorAll("#now, #notice a")) link.setAttribute("href", "./" + search);
    resume();
  }

  function resume() {
    if (isOn()) refreshNow();
    else clearTimeout(timer);
  }

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

  // After a button the page is loaded again: it keeps its scroll position.
  document.addEventListener("submit", () => {
    try { sessionStorage.setItem("txlb.at", String(scrollY)); } catch { /* then not */ }
  });
  try {
    const at = sessionStorage.getItem("txlb.at");
    sessionStorage.removeItem("txlb.at");
    if (at !== null && document.getElementById("notice")) scrollTo(0, Number(at));
  } catch { /* then not */ }
})();
