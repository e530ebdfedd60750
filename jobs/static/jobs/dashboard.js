/* What htmx does not do: asking again while the tab is seen, and saying when nobody answers. */
(() => {
  "use strict";

  const INTERVAL = 2000;
  const SLOW = 10000;
  let timer = 0;
  let asking = false;
  let failures = 0;

  const lost = () => document.getElementById("lost");

  // One request at a time; the next one only after the answer, none in a hidden tab.
  const plan = (delay) => {
    clearTimeout(timer);
    if (!document.hidden && document.body.dataset.live) timer = setTimeout(ask, delay);
  };

  const ask = () => {
    if (asking || document.hidden) return;
    asking = true;
    htmx.ajax("GET", document.body.dataset.live, { target: "body", swap: "none" })
      .catch(() => {})
      .finally(() => {
        asking = false;
        plan(failures ? Math.min(INTERVAL * 2 ** Math.min(failures, 3), SLOW) : INTERVAL);
      });
  };

  const answered = (ok) => {
    failures = ok ? 0 : failures + 1;
    const strip = lost();
    if (strip) strip.hidden = ok;
  };

  document.addEventListener("htmx:afterRequest", (event) => answered(event.detail.successful));
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : plan(0)));
  document.addEventListener("DOMContentLoaded", () => {
    plan(INTERVAL);
    setInterval(tellTimes, 1000);
  });

  // Relative times go on by themselves, in the page's language.
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { style: "narrow", numeric: "auto" });
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

  const tellTimes = () => {
    if (document.hidden) return;
    const now = Date.now();
    for (const element of document.querySelectorAll("time[data-relative]")) {
      const seconds = (Date.parse(element.dateTime) - now) / 1000;
      const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) || UNITS[3];
      const text = words.format(Math.trunc(seconds / size), unit);
      if (element.textContent !== text) element.textContent = text;
    }
  };

  // A menu closes on Escape and on a click beside it.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]"))
      if (!menu.contains(event.target)) menu.open = false;
  });
})();
