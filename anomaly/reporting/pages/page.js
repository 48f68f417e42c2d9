"use strict";
// Shared by both pages: the theme and the time zone. A choice is remembered if the browser allows it.

const page = (() => {
  const root = document.documentElement;
  const listeners = [];
  const state = { zone: "UTC" };
  // where steps are those of a calendar, its time zone takes the place of UTC
  const base = document.querySelector("[data-timezone]")?.dataset.timezone || "UTC";
  const users = document.querySelector("[data-users]")?.dataset.users; // the zone of the checklist
  const zone = () => ({ UTC: base, users })[state.zone]; // undefined: that of the browser

  const recall = (name) => {
    try { return localStorage.getItem(`anomaly ${name}`); } catch { return null; }
  };
  const remember = (name, value) => {
    try { localStorage.setItem(`anomaly ${name}`, value); } catch { /* not allowed for a page from disk */ }
  };
  const changed = (what) => listeners.forEach((listener) => listener(what));

  const dark = matchMedia("(prefers-color-scheme: dark)");
  let theme = recall("theme");
  const showTheme = () => {
    root.dataset.theme = theme ?? (dark.matches ? "dark" : "light");
    changed("theme");
  };
  const probe = document.getElementById("status");
  const colour = (name) => { // in the form a canvas needs, resolved for the theme
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  dark.addEventListener("change", showTheme);
  document.getElementById("theme").addEventListener("click", () => {
    theme = root.dataset.theme === "dark" ? "light" : "dark";
    remember("theme", theme);
    showTheme();
  });

  const formats = {};
  const stamp = (seconds) => {
    formats[state.zone] ??= new Intl.DateTimeFormat("sv-SE", {
      timeZone: zone(), hourCycle: "h23",
      year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
    });
    return formats[state.zone].format(new Date(seconds * 1000)).replace(",", "");
  };
  const clock = (seconds, from) => {
    const text = stamp(seconds);
    return stamp(from).slice(0, 10) === text.slice(0, 10) ? text.slice(11) : text;
  };
  const number = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(2);
    if (size >= 999.5) return Math.round(value).toLocaleString("en-US");
    return String(Number(value.toPrecision(3)));
  };

  const from = Date.parse(document.querySelector("[data-released]")?.dataset.released ?? "") / 1000; // times on this day are shown without a date
  const showTimes = (within = document) => {
    for (const element of within.querySelectorAll("time")) {
      const seconds = Date.parse(element.dateTime) / 1000;
      element.textContent = element.dataset.style === "full" ? stamp(seconds) : clock(seconds, from);
    }
    for (const word of within.querySelectorAll(".zone")) word.textContent = zone() ?? "local time";
  };
  const zoneButtons = [...document.querySelectorAll("[data-zone]")];
  const showZone = (zone) => {
    state.zone = zone;
    zoneButtons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.zone === zone)));
    showTimes();
    changed("zone");
  };
  zoneButtons.forEach((button) => button.addEventListener("click", () => {
    remember("zone", button.dataset.zone);
    showZone(button.dataset.zone);
  }));

  // foreign text without control characters and marks that reorder it
  const plain = (text) => text.replace(/[^\P{C}\n]|[\u2028\u2029]/gu, (each) => `\\u${each.codePointAt(0).toString(16).padStart(4, "0")}`);

  return {
    state, zone, stamp, clock, number, plain, showTimes,
    onChange: (listener) => listeners.push(listener),
    colour,
    say: (text) => { probe.textContent = text; },
    start: () => {
      showTheme();
      for (const button of zoneButtons) if (button.dataset.zone === "UTC") button.textContent = base;
      const chosen = recall("zone");
      if (chosen === "local" || (chosen === "users" && users)) showZone(chosen);
      else if (base !== "UTC") showTimes();
    },
  };
})();
