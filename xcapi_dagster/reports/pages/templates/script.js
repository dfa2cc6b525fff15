"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (name) element.className = name;
  return element;
};

// Rank the reasons by value or by count.
for (const choice of all("[name=rank]"))
  choice.addEventListener("change", () => {
    for (const list of all(".reasons")) {
      const size = (item) => Number(item.dataset[choice.value]);
      const items = [...list.children].sort((a, b) => size(b) - size(a));
      const most = Math.max(...items.map(size)) || 1;
      for (const item of items) all("meter", item).forEach((meter) => { meter.value = size(item) / most; });
      list.append(...items);
    }
  });

// On paper everything is open.
addEventListener("beforeprint", () => all("details").forEach((details) => { details.open = true; }));

// A link to a reason opens it.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const details = target && target.querySelector(":scope > details");
  if (details) details.open = true;
};
addEventListener("hashchange", reveal);
reveal();

// Filter the table of partitions.
for (const form of all("form.partitions")) {
  const filter = () => {
    const text = form.elements.text.value.trim().toLowerCase();
    let shown = 0;
    for (const row of all("tbody tr", document.getElementById(form.dataset.table))) {
      row.hidden = !row.textContent.toLowerCase().includes(text) || (form.elements.todo.checked && !row.dataset.todo);
      shown += !row.hidden;
    }
    all("output", form)[0].value = `${shown.toLocaleString("en")} shown`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
}

// Search the rows of the report, a page at a time. Values become text, never markup.
const data = document.getElementById("rows");
if (data) {
  const { texts, rows, sections, found } = JSON.parse(data.textContent);
  const form = document.querySelector("form.orders");
  const body = document.querySelector("#matches tbody");
  const [previous, next] = all(".pager button");
  const SIZE = 25;
  let matches = rows;
  let page = 0;
  const told = (position) => (position === null ? null : texts[position]);
  const sectionOf = (row) => told(row[10]) ?? sections[told(row[2])];
  const haystacks = rows.map(([order, , code, column, detail, , , , request, debug]) =>
    [order, told(code), told(column), told(detail), request, told(debug)].join("\n").toLowerCase());
  const options = (select, values) => select.append(...values.map((value) => new Option(value, value)));
  const distinct = (position) => [...new Set(rows.map((row) => told(row[position])))].filter(Boolean).sort();
  options(form.elements.reason, distinct(2));
  options(form.elements.currency, distinct(6));
  options(form.elements.section, [...new Set(rows.map(sectionOf))].sort());

  const show = () => {
    body.replaceChildren(...matches.slice(page * SIZE, (page + 1) * SIZE).map((row) => {
      const [order, time, code, column, detail, value, , how, request, debug] = row;
      const line = make("tr");
      const id = make("th");
      id.scope = "row";
      id.append(make("bdi", order ?? "(no id)"));
      const why = make("td");
      const listed = document.getElementById(`reason-${told(code)}`);
      const link = make(listed ? "a" : "span");
      if (listed) link.href = `#${listed.id}`;
      link.append(make("code", told(code)));
      why.append(link, make("span", sectionOf(row), "muted section"));
      const shape = make("td");
      shape.append(make("bdi", [told(column), told(detail)].filter(Boolean).join(": ")));
      const sent = make("td");
      if (request !== null) {
        sent.append(make("span", `request ${request}`), make("br"), make("bdi", told(debug) ?? "", "muted"));
        if (how !== null) sent.title = found[told(how)] ?? told(how);
      }
      line.append(id, make("td", time, "time"), why, shape, make("td", value, "n"), sent);
      return line;
    }));
    const first = matches.length ? page * SIZE + 1 : 0;
    const last = Math.min((page + 1) * SIZE, matches.length);
    document.getElementById("matched").value =
      `${first.toLocaleString("en")}–${last.toLocaleString("en")} of ${matches.length.toLocaleString("en")}`;
    previous.disabled = page === 0;
    next.disabled = last === matches.length;
  };
  const search = () => {
    const { text, reason, section, currency } = form.elements;
    const wanted = text.value.trim().toLowerCase();
    matches = rows.filter((row, position) =>
      haystacks[position].includes(wanted)
      && (!reason.value || told(row[2]) === reason.value)
      && (!section.value || sectionOf(row) === section.value)
      && (!currency.value || told(row[6]) === currency.value));
    page = 0;
    show();
  };
  form.addEventListener("input", search);
  form.addEventListener("submit", (event) => event.preventDefault());
  previous.addEventListener("click", () => { page -= 1; show(); });
  next.addEventListener("click", () => { page += 1; show(); });
  for (const button of all("button[data-reason]"))
    button.addEventListener("click", () => {
      form.reset();
      form.elements.reason.value = button.dataset.reason;
      search();
      document.getElementById("orders").scrollIntoView();
      form.elements.text.focus({ preventScroll: true });
    });
  show();
}
for (const element of all(".needs-script")) element.hidden = false;
