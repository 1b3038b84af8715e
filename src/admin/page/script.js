// Refreshes the page: fetches what is new and changes what differs, so that what somebody
// types, has unfolded or has the focus on stays. The page is complete without it.
"use strict";

(() => {
  const live = document.getElementById("live");
  const refresh = document.getElementById("refresh");
  const now = document.getElementById("now");
  const trouble = document.getElementById("trouble");
  const said = document.getElementById("said");
  if (!live) return;

  // How often, in milliseconds; how long an answer may take; how long a pointer that
  // has just moved onto a button keeps everything in its place.
  const every = Number(refresh.dataset.seconds) * 1000;
  const patience = Math.max(every, 10000);
  const hold = 5000;

  let timer = 0;
  let asking = false;
  let denied = false;
  let pointedAt = 0;

  // What is the same thing before and after. A button is what it does: none may turn
  // into another under a finger.
  function key(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return "#" + node.nodeType;
    if (node.id) return "#" + node.id;
    const of = (name) => node.getAttribute(name) || "";
    const verb = node.nodeName === "BUTTON" ? of("value") : "";
    const summary = node.nodeName === "DETAILS" && node.firstElementChild ? node.firstElementChild.textContent : "";
    return [node.nodeName, of("name"), verb, summary].join("\n");
  }

  function becomeAttributes(old, fresh) {
    const isDetails = old.nodeName === "DETAILS";
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(isDetails && name === "open")) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  // The value attribute is only what an input starts with: what was typed stays.
  function become(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.isEqualNode(fresh)) return;
    becomeAttributes(old, fresh);
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
      become(mine, theirs);
    }
  }

  function downs() {
    return [...live.querySelectorAll("[data-down]")].map((row) => row.dataset.down);
  }

  function show(fresh) {
    const before = new Set(downs());
    const headline = live.dataset.headline;
    const focused = document.activeElement;
    become(live, fresh);
    if (focused !== document.activeElement && live.contains(focused)) focused.focus({ preventScroll: true });
    document.title = live.dataset.title;
    const news = downs().filter((it) => !before.has(it)).slice(0, 5);
    if (live.dataset.headline !== headline) news.push(live.dataset.headline);
    if (news.length) said.textContent = news.join(". ");
    document.getElementById("refreshed").textContent = ", last at " + asOf();
  }

  function asOf() {
    const time = live.querySelector("#facts time");
    return time ? time.textContent.slice(11, 19) + " UTC" : "an unknown time";
  }

  function complain(text) {
    if (trouble.textContent !== text) trouble.textContent = text;
    trouble.hidden = !text;
  }

  function isPointedAt() {
    if (document.querySelector("button:active, summary:active")) return true;
    const hovers = matchMedia("(hover: hover)").matches;
    return hovers && Date.now() - pointedAt < hold && document.querySelector("button:hover, summary:hover") !== null;
  }

  async function fetchLive() {
    const answer = await fetch("live" + location.search, { cache: "no-store", signal: AbortSignal.timeout(patience) });
    denied = answer.status === 401 || answer.status === 403;
    if (denied) {
      return complain("You are not logged in any more. What is shown is as of " + asOf() + ": load the page anew.");
    }
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
    if (!fresh) throw new Error("no page");
    complain("");
    // Pressed or pointed at while it was on its way: the next one will do.
    if (!isPointedAt()) show(fresh);
  }

  async function refreshNow() {
    if (asking) return;
    asking = true;
    const began = Date.now();
    try {
      if (!isPointedAt()) await fetchLive();
    } catch {
      complain("txlb does not answer. What is shown is as of " + asOf() + ".");
    }
    asking = false;
    // A page of thousands of hosts keeps the browser busy for a tenth of the time at most.
    later(Math.max(every, 10 * (Date.now() - began)));
  }

  // Who may not look is not asked for a password again and again, but goes there once.
  function isOn() {
    return refresh.checked && !document.hidden && !denied;
  }

  function later(ms) {
    clearTimeout(timer);
    if (isOn()) timer = setTimeout(refreshNow, Math.min(ms, 60000 + every));
  }

  // The address says it, and so do forms and links, so that it is the same after a press
  // and when the page is loaded anew.
  function switched() {
    const search = "?refresh=" + (refresh.checked ? refresh.dataset.seconds : 0);
    history.replaceState(null, "", search + location.hash);
    for (const form of document.forms) form.setAttribute("action", "do" + search);
    for (const link of document.querySelectorAll("#now, #notice a")) link.setAttribute("href", "./" + search);
    goOn();
  }

  function goOn() {
    if (isOn()) refreshNow();
    else clearTimeout(timer);
  }

  refresh.parentElement.hidden = false;
  refresh.addEventListener("change", switched);
  document.addEventListener("visibilitychange", goOn);
  later(every);
  now.addEventListener("click", (event) => {
    if (denied) return;
    event.preventDefault();
    pointedAt = 0;
    refreshNow();
  });
  document.addEventListener("pointermove", () => { pointedAt = Date.now(); }, { passive: true });

  // After a press the page is loaded anew: it is looked at where it was before.
  document.addEventListener("submit", () => {
    try { sessionStorage.setItem("txlb.at", String(scrollY)); } catch { /* then not */ }
  });
  try {
    const at = sessionStorage.getItem("txlb.at");
    sessionStorage.removeItem("txlb.at");
    if (at !== null && document.getElementById("notice")) scrollTo(0, Number(at));
  } catch { /* then not */ }
})();
