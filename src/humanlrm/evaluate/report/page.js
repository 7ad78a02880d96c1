// Numbers sort from high to low first, words from A to Z; empty cells go last.
function value(row, place) {
  const cell = row.cells[place], text = cell.dataset.v ?? cell.textContent;
  return text === "" ? null : isNaN(text) ? text : +text;
}

function order(a, b, down) {
  if (a === null || b === null) return (a === null) - (b === null);
  const sign = typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b)) : b - a;
  return down ? sign : -sign;
}

for (const table of document.querySelectorAll("table.sort")) {
  const heads = table.tHead.rows[0].cells;
  for (const head of heads) head.addEventListener("click", () => {
    const down = !head.classList.contains("down"), place = head.cellIndex, body = table.tBodies[0];
    for (const other of heads) other.classList.remove("up", "down");
    head.classList.add(down ? "down" : "up");
    body.append(...[...body.rows].sort((a, b) => order(value(a, place), value(b, place), down)));
  });
}

const find = document.getElementById("find");
if (find) find.addEventListener("input", () => {
  for (const row of document.querySelectorAll("#subjects tbody tr"))
    row.hidden = !row.textContent.toLowerCase().includes(find.value.toLowerCase());
});
