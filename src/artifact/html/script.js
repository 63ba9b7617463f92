// Sorts a table by the column whose header is pressed: numbers by their value, text by its letters, what is missing last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    const body = header.closest("table").tBodies[0];
    const up = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.cells[header.cellIndex];
      return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
    };
    const compare = (a, b) => {
      const [one, other] = [key(a), key(b)];
      if (one === "" || other === "") return (one === "") - (other === "");
      const both = typeof one === "number" && typeof other === "number";
      return (both ? one - other : String(one).localeCompare(String(other), "en", { numeric: true })) * (up ? 1 : -1);
    };
    // Lines between groups say nothing once rows have moved.
    for (const row of body.rows) row.classList.remove("group");
    body.append(...[...body.rows].sort(compare));
  });
}
// What is folded in is printed all the same.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));
