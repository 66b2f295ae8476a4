// Sorting of tables, and search and order of the test rows. The page is complete without it.
"use strict";

function number(text) {
  const value = parseFloat(text.replace("−", "-").replace(/,/g, ""));
  return Number.isNaN(value) ? null : value;
}

function compare(a, b, sign) {
  const [x, y] = [number(a), number(b)];
  if (x !== null && y !== null) return (x - y) * sign;
  if (x !== null || y !== null) return x === null ? 1 : -1; // texts and missing values follow the numbers
  return a.localeCompare(b) * sign;
}

function sortTable(header, column) {
  const body = header.closest("table").tBodies[0];
  const descending = header.getAttribute("aria-sort") !== "descending";
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...body.rows];
  rows.sort((a, b) => compare(a.cells[column].innerText, b.cells[column].innerText, descending ? -1 : 1));
  body.append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.append(...header.childNodes);
    button.title = "Sort by this column";
    button.addEventListener("click", () => sortTable(header, column));
    header.append(button);
  });
}

const list = document.getElementById("test-rows");
if (list) {
  const rows = [...list.children];
  const scores = rows.map((row) => row.dataset.scores.split(",").map((text) => (text === "" ? null : Number(text))));
  let texts = null; // read at the first search: they are most of the page
  const [search, order, ours, theirs] = ["search", "order", "ours", "theirs"].map((id) => document.getElementById(id));
  const shown = document.getElementById("shown");

  function gain(index) {
    const [x, y] = [scores[index][ours.value], scores[index][theirs.value]];
    return x === null || y === null ? null : x - y;
  }

  function arrange() {
    const indices = rows.map((_, index) => index);
    const sign = order.value === "gain" ? -1 : 1;
    indices.sort((a, b) => {
      const [x, y] = order.value === "row" ? [null, null] : [gain(a), gain(b)];
      if (x !== null && y !== null && x !== y) return (x - y) * sign;
      if ((x === null) !== (y === null)) return x === null ? 1 : -1;
      return Number(rows[a].dataset.row) - Number(rows[b].dataset.row);
    });
    list.append(...indices.map((index) => rows[index]));
    rows.forEach((row, index) => {
      const value = gain(index);
      row.querySelector(".gain").textContent =
        value === null ? "–" : (Math.abs(value) < 0.05 ? "" : value > 0 ? "+" : "") + value.toFixed(1).replace("-0.0", "0.0");
    });
  }

  function filter() {
    const wanted = search.value.toLowerCase().trim();
    texts ??= rows.map((row) => row.textContent.toLowerCase());
    rows.forEach((row, index) => (row.hidden = !texts[index].includes(wanted)));
    count();
  }

  function count() {
    shown.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  }

  for (const control of [order, ours, theirs]) control.addEventListener("change", arrange);
  search.addEventListener("input", filter);
  document.getElementById("row-tools").hidden = false;
  count();
}
