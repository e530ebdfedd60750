/* The log of a job keeps its place when new lines come; who is at its end stays at its end. */
(() => {
  "use strict";

  const box = () => document.getElementById("log-lines");
  const isAtEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  const toEnd = (log) => { log.scrollTop = log.scrollHeight; };
  let place = null;

  document.addEventListener("htmx:oobBeforeSwap", () => {
    const log = box();
    if (log) place = isAtEnd(log) ? Infinity : log.scrollTop;
  });
  document.addEventListener("htmx:oobAfterSwap", () => {
    const log = box();
    if (!log || place === null) return;
    if (place === Infinity) toEnd(log);
    else log.scrollTop = place;
  });
  document.addEventListener("DOMContentLoaded", () => {
    const log = box();
    if (log) toEnd(log);
  });
})();
