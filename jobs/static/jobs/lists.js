/* Selecting rows, and updates that never move a row under the pointer or a selection. */
(() => {
  "use strict";

  let pending = null;
  const root = () => document.getElementById("rows");
  const rowsOf = (element) => [...element.querySelectorAll("tbody tr[data-job]")];
  const boxes = () => [...root().querySelectorAll('input[name="job"]:not(:disabled)')];
  const isAll = () => { const all = root().querySelector('input[name="all"]'); return all && !all.disabled; };

  // What is shown of the selection, from the boxes alone.
  const tell = () => {
    const picked = root().querySelector(".picked");
    const all = isAll();
    const each = boxes();
    const count = each.filter((box) => box.checked).length;
    for (const box of root().querySelectorAll('input[name="job"]'))
      box.closest("tr").classList.toggle("on", box.checked && !box.disabled);
    const page = root().querySelector("input.page");
    if (page) {
      page.checked = count > 0 && count === each.length;
      page.indeterminate = count > 0 && count < each.length;
    }
    for (const button of root().querySelectorAll('.toolbar button[name="action"]')) button.disabled = !count && !all;
    if (!picked) return;
    picked.hidden = !count && !all;
    const words = picked.dataset;
    const text = all ? words.all : count === 1 ? words.one : words.many.replace("{n}", count);
    if (picked.querySelector("b").textContent !== text) picked.querySelector("b").textContent = text;
    picked.querySelector(".all").hidden = all;
  };

  const selectAll = (on) => {
    const all = root().querySelector('input[name="all"]');
    if (all) all.disabled = !on;
  };
  const check = (on) => { for (const box of boxes()) box.checked = on; };

  document.addEventListener("change", (event) => {
    if (!event.target.closest("#rows")) return;
    if (event.target.matches("input.page")) check(event.target.checked);
    if (event.target.matches('input.page, input[name="job"]')) { selectAll(false); tell(); }
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("#held button")) return show();
    if (!event.target.closest("#rows")) return;
    if (event.target.closest(".picked .all")) { check(true); selectAll(true); return tell(); }
    if (event.target.closest(".picked .none")) { check(false); selectAll(false); return tell(); }
    const row = event.target.closest("tbody tr[data-job]");
    // Text that is being marked to be copied is no click.
    if (!row || event.target.closest("a, button, input, label, summary") || String(getSelection())) return;
    const box = row.querySelector('input[name="job"]:not(:disabled)');
    if (!box) return;
    box.checked = !box.checked;
    selectAll(false);
    tell();
  });

  // The server is told which rows are shown, to say what became of those that left.
  document.addEventListener("htmx:configRequest", (event) => {
    if (root()) event.detail.headers["X-Shown"] = rowsOf(root()).map((row) => row.dataset.job).join(",");
  });

  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (event.detail.target.id !== "rows") return;
    const fresh = event.detail.fragment.querySelector("#rows");
    if (!fresh) return;
    event.detail.shouldSwap = false;
    pending = fresh.cloneNode(true);
    pending.removeAttribute("hx-swap-oob");
    if (rowsOf(root()).length) merge(pending); else show();
  });

  const cells = (row) => [...row.children].filter((cell) => !cell.classList.contains("check"));

  const merge = (fresh) => {
    const now = new Map(rowsOf(fresh).map((row) => [row.dataset.job, row]));
    const moved = new Map([...fresh.querySelectorAll(".moved li")].map((item) => [item.dataset.job, item]));
    let held = now.size;
    for (const row of rowsOf(root())) {
      const same = now.get(row.dataset.job);
      if (same) {
        held -= 1;
        if (!row.classList.contains("gone")) change(row, same);
      } else if (moved.has(row.dataset.job)) leave(row, moved.get(row.dataset.job));
    }
    const total = fresh.querySelector(".pager .end");
    const shown = root().querySelector(".pager .end");
    if (total && shown && total.textContent !== shown.textContent) shown.textContent = total.textContent;
    tell();
    announce(held);
  };

  const change = (row, same) => {
    const next = cells(same);
    cells(row).forEach((cell, index) => {
      // Times go on by script: only another moment is a change. What has the focus keeps it.
      const other = next[index];
      const old = cell.querySelector("time"), time = other && other.querySelector("time");
      if (!other || (old && time && old.dateTime === time.dateTime) || cell.contains(document.activeElement)) return;
      if (cell.innerHTML !== other.innerHTML) cell.replaceChildren(...other.cloneNode(true).childNodes);
    });
  };

  // Its place stays, or the rows below would move; what it is now stands beside its name.
  const leave = (row, item) => {
    const text = item.textContent.trim();
    if (row.dataset.now === text) return;
    row.dataset.now = text;
    row.classList.add("gone");
    const box = row.querySelector('input[name="job"]');
    if (box) { box.checked = false; box.disabled = true; }
    const main = row.querySelector(".main");
    const old = main && main.querySelector(".now");
    if (old) old.remove();
    const label = document.createElement("span");
    label.className = "now";
    label.append(...item.cloneNode(true).childNodes);
    if (main) main.prepend(label, " ");
  };

  const announce = (held) => {
    const box = document.getElementById("held");
    if (!box) return;
    box.hidden = !held;
    const text = held === 1 ? box.dataset.one : box.dataset.many.replace("{n}", held);
    const live = box.querySelector(".live");
    if (held && live.textContent !== text) live.textContent = text;
  };

  const show = () => {
    if (!pending) return;
    const picked = new Set(boxes().filter((box) => box.checked).map((box) => box.value));
    const token = root().querySelector('input[name="csrfmiddlewaretoken"]');
    const all = isAll();
    if (token) pending.prepend(token);
    root().replaceWith(pending);
    pending = null;
    for (const box of boxes()) box.checked = picked.has(box.value);
    selectAll(all);
    tell();
    announce(0);
  };

  document.addEventListener("DOMContentLoaded", () => { if (root()) tell(); });
  // Coming back, browsers tick what was ticked without telling.
  window.addEventListener("pageshow", () => { if (root()) tell(); });
})();
