// Draws the cards from the embedded data. Texts are untrusted: they enter the page as text nodes only.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const list = document.getElementById("list");
const systemsBox = document.getElementById("systems");
const fails = document.getElementById("fails");
const query = document.getElementById("query");
const differ = document.getElementById("differ");
const KEYS = ["show", "fails", "q", "differ", "open"];

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Filters -------------------------------------------------------------------------------------------------------------

const toggles = new Map(data.systems.map((name) => {
  const box = element("input", { type: "checkbox" });
  box.checked = true;
  systemsBox.append(element("label", { class: "toggle" }, box, name));
  return [name, box];
}));
const checkNames = [...new Set(data.cards.flatMap((card) => card.outputs.flatMap((one) => one.checks.map((check) => check.name))))];
for (const name of ["any check", ...checkNames]) fails.append(element("option", { value: name === "any check" ? "any" : name }, name));

const failed = (one) => one.checks.filter((check) => !check.passed);
const verdict = (one) => failed(one).map((check) => check.name).join();
const fallsFor = (one, name) => failed(one).some((check) => name === "any" || check.name === name);
const textOf = (one) => one.pieces.map((piece) => (typeof piece === "string" ? piece : piece[0])).join("");

function searched(entry) {
  const { card } = entry;
  entry.haystack ??= [card.id, card.title, card.family, card.source, ...card.outputs.map(textOf)].join("\n").toLowerCase();
  return entry.haystack;
}

function apply() {
  const shown = new Set(data.systems.filter((name) => toggles.get(name).checked));
  const words = query.value.trim().toLowerCase();
  let count = 0;
  for (const entry of entries) {
    const outputs = entry.card.outputs.filter((one) => shown.has(one.system));
    const visible = (!fails.value || outputs.some((one) => fallsFor(one, fails.value)))
      && (!differ.checked || new Set(outputs.map(verdict)).size > 1)
      && (!words || searched(entry).includes(words));
    entry.node.hidden = !visible;
    count += visible;
    for (const part of entry.node.querySelectorAll("[data-system]")) part.hidden = !shown.has(part.dataset.system);
  }
  document.getElementById("count").textContent = `${count} of ${entries.length} cards`;
}

function remember() {
  const state = new URLSearchParams();
  const shown = data.systems.filter((name) => toggles.get(name).checked);
  if (shown.length < data.systems.length) for (const name of shown) state.append("show", name);
  if (fails.value) state.set("fails", fails.value);
  if (query.value.trim()) state.set("q", query.value.trim());
  if (differ.checked) state.set("differ", "1");
  const open = entries.find((entry) => entry.node.open);
  if (open) state.set("open", open.card.id);
  try {
    history.replaceState(null, "", `#${state}`);
  } catch {
    // A page without an address of its own (an embedded preview) still filters.
  }
}

// The address decides what is shown; an address that names none of our keys is a place on the page.
function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  if (!KEYS.some((key) => state.has(key))) return false;
  const shown = state.getAll("show");
  for (const [name, box] of toggles) box.checked = shown.length === 0 || shown.includes(name);
  fails.value = state.get("fails") ?? "";
  if (fails.selectedIndex < 0) fails.value = "";
  query.value = state.get("q") ?? "";
  differ.checked = state.get("differ") === "1";
  const open = entries.find((entry) => entry.card.id === state.get("open"));
  if (open) unfold(open);
  return true;
}

// Cards ---------------------------------------------------------------------------------------------------------------

function header(card) {
  const chips = card.outputs.map((one) => {
    const wrong = failed(one).map((check) => check.name);
    const text = wrong.length ? `✗ ${wrong.length}` : "✓";
    const title = wrong.length ? `fails ${wrong.join(", ")}` : "passes every check";
    return element("span", { class: wrong.length ? "chip bad" : "chip good", "data-system": one.system, title }, `${one.system} ${text}`);
  });
  return element("summary", {},
    element("span", { class: "name" }, card.title),
    element("span", { class: "family" }, card.family),
    element("span", { class: "chips" }, ...chips));
}

function body(card) {
  const source = element("div", { class: "source" }, element("h4", {}, "Source"),
    element("pre", { tabindex: "0", "aria-label": "Source text" }, card.source));
  if (card.reference) {
    source.append(element("details", {}, element("summary", {}, "Reference summary"), element("pre", {}, card.reference)));
  }
  return element("div", { class: "body" }, source, element("div", { class: "outputs" }, ...card.outputs.map(panel)));
}

function panel(one) {
  const wrong = failed(one);
  const facts = [`${one.words ?? "?"} words`];
  if (one.recall !== null) facts.push(`recall ${Math.round(one.recall * 100)}%`);
  if (one.sample) facts.push(`sample ${one.sample + 1}`);
  if (!one.finished) facts.push("cut by the token limit");
  const right = one.checks.filter((check) => check.passed).map((check) => check.name);
  return element("article", { class: "output", "data-system": one.system },
    element("h4", {}, one.system, element("small", {}, ` ${facts.join(" · ")}`)),
    wrong.length ? element("ul", { class: "faults" }, ...wrong.map((check) => fault(check, one))) : null,
    right.length ? element("p", { class: "passed" }, `✓ ${right.join(", ")}`) : null,
    element("div", { class: "text" }, ...one.pieces.map((piece) => drawn(piece, one))));
}

function fault(check, one) {
  const marks = one.marks.map((mark, index) => ({ ...mark, index })).filter((mark) => mark.check === check.name);
  const row = element("li", {}, element("b", {}, `✗ ${check.name}`), ` ${check.reason}`);
  if (marks.length) {
    row.append(element("span", { class: "spans" }, ...marks.map((mark) => element("span", {}, element("sup", {}, mark.index + 1), ` ${mark.label} `))));
  }
  return row;
}

// A number stands where its span begins, drawn by the style sheet, so that copied text is the summary's own.
function drawn(piece, one) {
  if (typeof piece === "string") return document.createTextNode(piece);
  const [text, indices] = piece;
  const title = indices.map((index) => `${one.marks[index].check}: ${one.marks[index].label}`).join("\n");
  const begins = indices.filter((index) => !one.numbered?.has(index));
  one.numbered = new Set([...(one.numbered ?? []), ...begins]);
  return element("mark", { title, ...(begins.length ? { "data-n": begins.map((index) => index + 1).join(",") } : {}) }, text);
}

// Built when first opened: a hundred cards with six summaries each are megabytes of text.
function build(entry) {
  if (entry.built) return;
  entry.built = true;
  entry.node.append(body(entry.card));
}

function unfold(entry) {
  if (entry.node.open) return;
  build(entry);
  entry.byScript = true;
  entry.node.open = true;
}

const entries = data.cards.map((card) => {
  const entry = { card, node: element("details", { class: "card", id: `card-${card.id}` }, header(card)), built: false };
  entry.node.addEventListener("toggle", () => {
    if (entry.node.open) build(entry);
    apply();
    if (!entry.byScript) remember();
    entry.byScript = false;
  });
  return entry;
});
list.append(...entries.map((entry) => entry.node));

for (const control of [...toggles.values(), fails, query, differ]) {
  control.addEventListener("input", () => { apply(); remember(); });
}
document.querySelector("form.filters").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", () => {
  if (restore()) {
    apply();
    document.getElementById("cards").scrollIntoView();
  }
});
if (!restore() && entries.length) unfold(entries[0]);
apply();
