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
    // Lines between groups say nothing once rows have moved, and a name that stands for the rows below it has to go with each of them.
    let above = "";
    for (const row of body.rows) {
      row.classList.remove("group");
      const first = row.cells[0];
      if (first.textContent.trim() === "") first.textContent = above;
      above = first.textContent;
    }
    body.append(...[...body.rows].sort(compare));
    let last;
    for (const row of body.rows) {
      const first = row.cells[0].textContent;
      row.cells[0].classList.toggle("again", first === last);
      last = first;
    }
  });
}

// A chart says the values of the mark that is nearest to the pointer, or of one after the other by the arrow keys.
for (const [number, figure] of document.querySelectorAll("figure").entries()) {
  const paper = figure.querySelector(".paper");
  const svg = paper.querySelector("svg");
  const marks = [...svg.querySelectorAll("g > title")].map((title) => {
    const mark = title.parentNode;
    mark.dataset.mark = title.textContent;
    // A browser would say it a second time.
    title.remove();
    return mark;
  });
  if (marks.length === 0) continue;
  const said = document.createElement("output");
  const hint = number === 0 ? "Point at a mark, or press the arrow keys, for its values." : "";
  let at = -1;
  const show = (index) => {
    marks[at]?.classList.remove("now");
    at = index;
    marks[at]?.classList.add("now");
    svg.classList.toggle("pointed", at >= 0);
    said.textContent = at < 0 ? hint : marks[at].dataset.mark;
  };
  show(-1);
  paper.after(said);
  figure.dataset.values = marks.length;
  const pointed = (event) => {
    const away = (low, place, high) => Math.max(low - place, place - high, 0);
    let [best, least] = [-1, 30];
    marks.forEach((mark, index) => {
      const box = mark.getBoundingClientRect();
      const middle = Math.hypot((box.left + box.right) / 2 - event.clientX, (box.top + box.bottom) / 2 - event.clientY);
      const distance = Math.hypot(away(box.left, event.clientX, box.right), away(box.top, event.clientY, box.bottom)) + middle / 1000;
      if (distance < least) [best, least] = [index, distance];
    });
    if (best !== at) show(best);
  };
  svg.addEventListener("pointermove", pointed);
  svg.addEventListener("pointerdown", pointed);
  svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(-1));
  paper.addEventListener("blur", () => show(-1));
  paper.addEventListener("keydown", (event) => {
    const last = marks.length - 1;
    const to = { ArrowRight: Math.min(at + 1, last), ArrowLeft: Math.max(at - 1, 0), Home: 0, End: last, Escape: -1 }[event.key];
    if (to === undefined) return;
    show(to);
    event.preventDefault();
  });
}

// What is folded in is printed all the same.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));
