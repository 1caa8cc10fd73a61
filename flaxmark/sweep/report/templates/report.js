for (const image of document.querySelectorAll("img[data-of]")) image.src = CELLS[image.dataset.of];

const showSheet = (image, cell) => {
  image.src = CELLS[cell];
  image.alt = image.dataset.pattern.replace("*", cell);
};

const dialog = document.querySelector("dialog");
for (const button of document.querySelectorAll("button[data-cell]")) {
  button.addEventListener("click", () => {
    dialog.querySelector("p").textContent = button.dataset.cell;
    showSheet(dialog.querySelector("img"), button.dataset.cell);
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

const sides = document.querySelectorAll(".pair figure");
for (const side of sides) {
  const show = () => showSheet(side.querySelector("img"), side.querySelector("select").value);
  side.querySelector("select").addEventListener("change", show);
  show();
}

const value = (row, column) => row.cells[column].dataset.sort || row.cells[column].textContent;
const compare = (a, b) => {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
};
for (const table of document.querySelectorAll("table")) {
  table.querySelectorAll("th").forEach((head, column) => {
    head.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a, column), value(b, column)));
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    });
  });
}
