"use strict";
// Without this script, every row is shown and open. With it, rows open, close, are sorted and searched, and contact sheets
// open in a dialog.
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", () => {
  const board = document.getElementById("board");
  if (!board) return;
  const by = (id) => document.getElementById(id);
  const entries = [...board.tBodies];
  const search = by("search"), found = by("found"), order = by("order"), turn = by("turn"), allOpen = by("all-open");
  const heads = [...board.querySelectorAll("th[data-key]")];
  const chips = [...document.querySelectorAll(".chips button")];
  const names = new Intl.Collator("en", { numeric: true });
  let key = "rank", rising = true, state = "";

  by("tools").hidden = false;
  // Keep the table's header below the tools, however many lines they take.
  new ResizeObserver(() => board.style.setProperty("--tools", `${by("tools").offsetHeight}px`)).observe(by("tools"));

  // Add a button to each row.
  entries.forEach((entry, place) => {
    const rest = entry.querySelector(".rest"), button = document.createElement("button");
    rest.id = `rest-${place}`;
    button.type = "button";
    button.className = "opener";
    button.setAttribute("aria-controls", rest.id);
    button.setAttribute("aria-label", `Details of ${entry.dataset.student}`);
    entry.querySelector("td.more").append(button);
    entry.dataset.place = place;
    entry.opener = button;
    open(entry, false);
  });
  function open(entry, isOpen) {
    entry.classList.toggle("open", isOpen);
    entry.opener.setAttribute("aria-expanded", isOpen);
  }
  board.addEventListener("click", (event) => {
    const entry = event.target.closest("tbody.entry");
    if (!entry) return;
    const picture = event.target.closest(".open-sheet");
    if (picture) return showSheet(entry, picture);
    const isMain = event.target.closest("tr.main") && !String(window.getSelection());
    if (isMain) open(entry, !entry.classList.contains("open"));
  });
  allOpen.addEventListener("click", () => {
    const isOpen = allOpen.textContent === "Open all";
    visible().forEach((entry) => open(entry, isOpen));
    allOpen.textContent = isOpen ? "Close all" : "Open all";
  });

  // Sorting: rows without a value come last in both orders.
  heads.forEach((head) => {
    const label = head.querySelector(".label"), button = document.createElement("button");
    button.type = "button";
    button.textContent = label.textContent;
    label.replaceWith(button);
    button.addEventListener("click", () => sort(head.dataset.key, head.dataset.key === key ? !rising : head.dataset.first === "ascending"));
    order.add(new Option(`Sort by ${button.textContent.toLowerCase()}`, head.dataset.key));
  });
  order.addEventListener("change", () => sort(order.value, heads.find((head) => head.dataset.key === order.value).dataset.first === "ascending"));
  turn.addEventListener("click", () => sort(key, !rising));
  function sort(newKey, newRising) {
    key = newKey;
    rising = newRising;
    const sign = rising ? 1 : -1, isText = key === "student";
    const attribute = key;
    entries.sort((one, other) => {
      const a = one.dataset[attribute], b = other.dataset[attribute];
      if (a === undefined || b === undefined) {
        if (a !== b) return a === undefined ? 1 : -1;
      } else {
        const difference = isText ? names.compare(a, b) : a - b;
        if (difference) return sign * difference;
      }
      return one.dataset.place - other.dataset.place;
    });
    if (key === "rank") restoreBaselines();
    board.append(...entries);
    heads.forEach((head) => {
      if (head.dataset.key === key) head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    order.value = key;
    turn.textContent = rising ? "↑" : "↓";
  }
  // Baselines have no rank. They stand among the ranked rows by their value.
  function restoreBaselines() {
    const ranked = entries.filter((entry) => !entry.classList.contains("baseline"));
    const marks = entries.filter((entry) => entry.classList.contains("baseline"));
    marks.forEach((mark) => {
      const at = ranked.findIndex((entry) => !entry.classList.contains("baseline") && (entry.dataset.rank === undefined || (rising ? +entry.dataset.place > +mark.dataset.place : +entry.dataset.place < +mark.dataset.place)));
      ranked.splice(at < 0 ? ranked.length : at, 0, mark);
    });
    entries.splice(0, entries.length, ...ranked);
  }

  // Searching and filtering.
  chips.forEach((chip) => chip.addEventListener("click", () => {
    state = chip.dataset.state;
    chips.forEach((other) => other.setAttribute("aria-pressed", other === chip));
    filter();
  }));
  search.addEventListener("input", filter);
  by("reset").addEventListener("click", () => {
    search.value = "";
    chips[0].click();
    search.focus();
  });
  function visible() {
    return entries.filter((entry) => !entry.classList.contains("away"));
  }
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    entries.forEach((entry) => {
      const isState = !state || entry.dataset.state.split(" ").includes(state);
      entry.classList.toggle("away", !isState || !words.every((word) => entry.dataset.search.includes(word)));
    });
    const count = visible().length;
    found.textContent = state || words.length ? `${count} of ${entries.length} rows` : "";
    by("none").hidden = count > 0;
  }

  // The dialog of contact sheets.
  const dialog = by("sheet");
  let shown = null, opener = null;
  function showSheet(entry, from) {
    const picture = entry.querySelector("img.sheet");
    if (!picture || !dialog) return;
    shown = entry;
    if (from) opener = from;
    by("sheet-name").textContent = entry.dataset.student;
    by("sheet-value").textContent = entry.querySelector("td.value").textContent;
    const copy = new Image();
    copy.src = picture.src;
    copy.alt = picture.alt;
    by("sheet-picture").replaceChildren(copy);
    if (!dialog.open) dialog.showModal();
  }
  function step(by) {
    const some = visible().filter((entry) => entry.querySelector("img.sheet"));
    const next = some[some.indexOf(shown) + by];
    if (next) showSheet(next, null);
  }
  if (dialog) {
    by("sheet-close").addEventListener("click", () => dialog.close());
    by("sheet-before").addEventListener("click", () => step(-1));
    by("sheet-after").addEventListener("click", () => step(1));
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
    });
    dialog.addEventListener("close", () => opener && opener.focus());
  }

  // Keyboard.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (dialog && dialog.open)) return;
    const isTyping = event.target.matches("input, select, textarea");
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && event.target === search) {
      search.value = "";
      filter();
    } else if (event.key === "Escape") {
      const entry = event.target.closest("tbody.entry.open");
      if (entry) {
        open(entry, false);
        entry.opener.focus();
      }
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const some = visible(), entry = event.target.closest("tbody.entry");
      if (event.target !== search && !event.target.classList.contains("opener")) return;
      const next = some[entry ? some.indexOf(entry) + (event.key === "ArrowDown" ? 1 : -1) : 0];
      if (next) {
        event.preventDefault();
        next.opener.focus();
        next.scrollIntoView({ block: "nearest" });
      }
    }
  });
});
