"use strict";
// Bad cases: filter by the selects, search in the text, show a page at a time. Without script all rows are shown.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const page = 100;
  const more = document.getElementById("more");
  const matching = document.getElementById("matching");
  // What stands in the row itself: a word of a training example that is folded away is no reason to show it.
  const textOf = (row) => Array.from(row.querySelectorAll("details")).reduce(
    (text, hidden) => text.replace(hidden.textContent, ""), row.textContent).toLowerCase();
  const rows = Array.from(document.querySelectorAll("#cases tbody tr"), (row) => ({
    row, text: textOf(row), data: row.dataset,
  }));
  let limit = page;

  const show = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = Array.from(form.querySelectorAll("select")).filter((select) => select.value);
    let found = 0;
    for (const { row, text, data } of rows) {
      const fits = words.every((word) => text.includes(word)) && wanted.every((select) => data[select.name] === select.value);
      if (fits) found += 1;
      row.hidden = !fits || found > limit;
    }
    matching.textContent = found.toLocaleString("en");
    more.hidden = found <= limit;
  };

  const again = () => { limit = page; show(); };
  form.addEventListener("input", again);
  form.addEventListener("change", again); // some tools that operate a page report a choice by this event only
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { limit += page; show(); });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName || "");
    if (event.key === "/" && !typing) { event.preventDefault(); form.elements.text.focus(); }
  });
  show();
})();
