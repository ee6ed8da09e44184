// Draws the cards from the embedded data. Texts are untrusted: they enter the page as text nodes only.
"use strict";

const { index, bodies } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const [list, fails, family, slice, sample, sort, by, query, differ, pair, worstOf, worstBy] = ["list", "fails", "family", "slice",
  "sample", "sort", "by", "query", "differ", "pair", "of", "worst-by"].map(byId);
const KEYS = ["show", "fails", "family", "slice", "sample", "sort", "by", "q", "differ", "of", "worst", "open"];
const WORST = 20;
const SOURCE_WORDS = "source_words";
const metricAt = new Map(index.metrics.map((metric, place) => [metric.name, place]));
const headline = index.metrics.filter((metric) => metric.headline);
const WORST_BY = headline.find((metric) => metric.better)?.name;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

const option = (value, text = value) => element("option", { value }, text);
const unique = (values) => [...new Set(values)];
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);

// A select takes a value that it offers, and its first option for any other: an address may hold anything.
function choose(select, value) {
  select.value = value ?? "";
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

// Unpacking -----------------------------------------------------------------------------------------------------------

// Texts lie gzipped on the page; a card's are unpacked when it is opened or searched, and kept.
function bodyOf(entry) {
  entry.body ??= unpacked(bodies[entry.place]);
  return entry.body;
}

async function unpacked(text) {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  writer.write(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
  writer.close();
  return JSON.parse(await new Response(stream.readable).text());
}

const textOf = (one) => one.pieces.map((piece) => (typeof piece === "string" ? piece : piece[0])).join("");

async function searched(entry) {
  if (!entry.haystack) {
    const { card } = entry;
    const body = await bodyOf(entry);
    entry.haystack = [card.id, card.title, card.family, body.source, ...body.outputs.map(textOf)].join("\n").toLowerCase();
  }
  return entry.haystack;
}

// Controls ------------------------------------------------------------------------------------------------------------

const toggles = new Map(index.systems.map((name) => {
  const box = element("input", { type: "checkbox" });
  box.checked = true;
  byId("systems").append(element("label", { class: "toggle" }, box, name));
  return [name, box];
}));

function fill() {
  const outputs = index.cards.flatMap((card) => card.outputs);
  for (const name of ["any", ...unique(outputs.flatMap((one) => one.failed)).sort()]) {
    fails.append(option(name, name === "any" ? "any check" : name));
  }
  for (const name of unique(index.cards.map((card) => card.family)).sort()) family.append(option(name));
  const slices = unique(index.cards.flatMap((card) => Object.entries(card.slices).map(([name, value]) => `${name}: ${value}`)));
  for (const name of slices.sort()) slice.append(option(name));
  byId("slice-label").hidden = slices.length === 0;
  const takes = unique(outputs.map(takeOf)).sort();
  sample.append(option("", index.decoding), option("all"), ...takes.map((take) => option(take)));
  byId("sample-label").hidden = takes.length < 2;
  pair.append(option("", "choose two"));
  index.systems.forEach((a, first) => index.systems.slice(first + 1).forEach((b) => {
    pair.append(option(JSON.stringify([a, b]), `${a} | ${b}`));
  }));
  sort.append(option(SOURCE_WORDS, "words of the source"));
  sort.append(...byGroup(index.metrics));
  worstOf.append(...index.systems.map((name) => option(name)));
  worstOf.value = index.systems.at(-1);
  worstBy.append(...byGroup(index.metrics.filter((metric) => metric.better)));
  choose(worstBy, WORST_BY);
}

function byGroup(metrics) {
  return ["checks", "independent"].map((group) => (
    element("optgroup", { label: group }, ...metrics.filter((metric) => metric.group === group).map((metric) => option(metric.name, metric.label)))));
}

const takeOf = (one) => (one.decoding === "greedy" ? "greedy" : `${one.decoding} ${one.sample + 1}`);
const shownSystems = () => index.systems.filter((name) => toggles.get(name).checked);
const nameOf = (one) => index.systems[one.system];
const taken = (one) => sample.value === "all" || takeOf(one) === sample.value || (!sample.value && one.decoding === index.decodings[one.system]);
const fallsFor = (one, name) => one.failed.length > 0 && (name === "any" || one.failed.includes(name));

// Share of a system's summaries that fail each check: what "verdicts differ" compares.
function verdict(outputs) {
  return JSON.stringify(unique(outputs.flatMap((one) => one.failed)).sort().map((name) => (
    [name, outputs.filter((one) => one.failed.includes(name)).length / outputs.length])));
}

function valueOf(outputs, metric) {
  const place = metricAt.get(metric);
  return mean(outputs.map((one) => one.values[place]).filter((value) => value !== null));
}

// What a card is sorted by: a mean over the systems shown, or the second of two minus the first.
function sortValue(entry, outputs, shown) {
  if (sort.value === SOURCE_WORDS) return entry.card.words;
  if (by.value !== "loss" && by.value !== "gain") return valueOf(outputs, sort.value);
  const [a, b] = shown.map((name) => valueOf(outputs.filter((one) => nameOf(one) === name), sort.value));
  return a === null || b === null ? null : b - a;
}

function spelled(value, metric, signed = false) {
  if (value === null) return "–";
  const share = index.metrics[metricAt.get(metric)]?.unit === "share";
  const text = share ? (value * 100).toFixed(1) : String(Math.round(value * 10) / 10);
  return signed && value > 0 ? `+${text}` : text.replace("-", "−");
}

// What is shown -------------------------------------------------------------------------------------------------------

let turn = 0;

// Waits only where somebody searches, since then every text is needed.
async function apply() {
  const mine = ++turn;
  const words = query.value.trim().toLowerCase();
  if (words) {
    byId("count").textContent = "searching";
    await Promise.all(entries.map(searched));
    if (mine !== turn) return;
  }
  const shown = shownSystems();
  settle(shown);
  let count = 0;
  for (const entry of entries) {
    const outputs = entry.card.outputs.filter((one) => shown.includes(nameOf(one)) && taken(one));
    const visible = (!fails.value || outputs.some((one) => fallsFor(one, fails.value)))
      && (!family.value || entry.card.family === family.value)
      && (!slice.value || Object.entries(entry.card.slices).some(([name, value]) => `${name}: ${value}` === slice.value))
      && (!differ.checked || new Set(index.systems.map((_, place) => outputs.filter((one) => one.system === place))
        .filter((theirs) => theirs.length).map(verdict)).size > 1)
      && (!words || entry.haystack.includes(words));
    entry.node.hidden = !visible;
    count += visible;
    entry.value = visible && sort.value ? sortValue(entry, outputs, shown) : null;
    dress(entry, shown);
  }
  order();
  drawWorst();
  byId("count").textContent = `${count} of ${entries.length} cards`;
}

// Differences need two systems; where others are shown, plain order takes their place.
function settle(shown) {
  for (const one of by.options) one.disabled = ["loss", "gain"].includes(one.value) && (shown.length !== 2 || sort.value === SOURCE_WORDS);
  if (by.selectedOptions[0]?.disabled) by.value = "up";
  by.disabled = !sort.value;
  choose(pair, shown.length === 2 ? JSON.stringify(shown) : "");
}

function dress(entry, shown) {
  if (entry.chipsOf !== sample.value) {
    entry.chipsOf = sample.value;
    entry.chips.replaceChildren(...chips(entry.card));
  }
  for (const part of entry.node.querySelectorAll("[data-system]")) {
    part.hidden = !shown.includes(part.dataset.system) || (part.dataset.place && !taken(entry.card.outputs[part.dataset.place]));
  }
  const difference = ["loss", "gain"].includes(by.value);
  entry.sorted.textContent = sort.value ? spelled(entry.value, sort.value, difference) : "";
}

function order() {
  const down = ["down", "gain"].includes(by.value) ? -1 : 1;
  const last = down * Infinity;  // what was not measured stands at the end either way
  const sorted = sort.value
    ? [...entries].sort((a, b) => down * ((a.value ?? last) - (b.value ?? last) || 0) || a.place - b.place)
    : entries;
  if (sorted.some((entry, place) => entry !== ordered[place])) list.append(...sorted.map((entry) => entry.node));
  ordered = sorted;
}

// Ties are many where a metric is a verdict: the number of faults, then the other declared metrics, decide.
function drawWorst() {
  const metric = index.metrics[metricAt.get(worstBy.value)];
  if (!metric) return;
  const sign = (one) => (one.better === "lower" ? -1 : 1);
  const ranked = entries.map((entry) => {
    const outputs = entry.card.outputs.filter((one) => nameOf(one) === worstOf.value && taken(one));
    const rest = headline.filter((other) => other.better).map((other) => sign(other) * (valueOf(outputs, other.name) ?? 1));
    const value = valueOf(outputs, metric.name);
    return { entry, outputs, value, keys: [sign(metric) * value, -mean(outputs.map((one) => one.failed.length)), ...rest] };
  }).filter((one) => one.value !== null);
  ranked.sort((a, b) => a.keys.map((key, place) => key - b.keys[place]).find((gap) => gap) ?? 0);
  byId("worst-list").replaceChildren(...ranked.slice(0, WORST).map(worstRow));
}

function worstRow({ entry, outputs, value }) {
  const address = new URLSearchParams({ show: worstOf.value, of: worstOf.value, worst: worstBy.value, open: entry.card.id });
  const wrong = unique(outputs.flatMap((one) => one.failed));
  return element("li", {},
    element("b", {}, spelled(value, worstBy.value)), " ",
    element("a", { href: `#${address}` }, entry.card.title), " ",
    element("small", {}, flags(wrong)));
}

// The address ---------------------------------------------------------------------------------------------------------

function remember() {
  const state = new URLSearchParams();
  const shown = shownSystems();
  if (shown.length < index.systems.length) for (const name of shown) state.append("show", name);
  for (const [key, control] of [["fails", fails], ["family", family], ["slice", slice], ["sample", sample], ["sort", sort]]) {
    if (control.value) state.set(key, control.value);
  }
  if (sort.value && by.value !== "up") state.set("by", by.value);
  if (query.value.trim()) state.set("q", query.value.trim());
  if (differ.checked) state.set("differ", "1");
  if (worstOf.selectedIndex !== index.systems.length - 1) state.set("of", worstOf.value);
  if (worstBy.value && worstBy.value !== WORST_BY) state.set("worst", worstBy.value);
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
  if (!KEYS.some((key) => state.has(key))) return null;
  const shown = state.getAll("show");
  for (const [name, box] of toggles) box.checked = shown.length === 0 || shown.includes(name);
  for (const [key, control] of [["fails", fails], ["family", family], ["slice", slice], ["sample", sample], ["sort", sort]]) {
    choose(control, state.get(key));
  }
  choose(worstBy, state.get("worst") ?? WORST_BY);
  choose(by, state.get("by") ?? "up");
  worstOf.value = index.systems.includes(state.get("of")) ? state.get("of") : index.systems.at(-1);
  query.value = state.get("q") ?? "";
  differ.checked = state.get("differ") === "1";
  return { open: entries.find((entry) => entry.card.id === state.get("open")) };
}

// Cards ---------------------------------------------------------------------------------------------------------------

const flags = (checks) => (checks.length ? `flagged by ${checks.join(", ")}` : "no flag");

function chips(card) {
  return index.systems.map((name, place) => {
    const outputs = card.outputs.filter((one) => one.system === place && taken(one));
    if (!outputs.length) return null;
    const wrong = unique(outputs.flatMap((one) => one.failed));
    const good = outputs.filter((one) => !one.failed.length).length;
    const text = outputs.length > 1 ? `${good}/${outputs.length} without a flag` : wrong.length ? `${wrong.length} flag${wrong.length > 1 ? "s" : ""}` : "no flag";
    const title = wrong.length ? flags(wrong) : index.no_flag;
    return element("span", { class: wrong.length ? "chip bad" : "chip", "data-system": name, title }, `${name}: ${text}`);
  }).filter((chip) => chip);
}

function body(card, texts) {
  const source = element("div", { class: "source" }, element("h4", {}, "Source"),
    element("pre", { tabindex: "0", role: "region", "aria-label": "Source text" }, texts.source));
  if (texts.reference) {
    source.append(element("h4", {}, "Reference"),
      element("pre", { tabindex: "0", role: "region", "aria-label": "Reference summary" }, texts.reference));
  }
  return element("div", { class: "body" }, source,
    element("div", { class: "outputs" }, ...index.systems.map((name, system) => column(name, system, card, texts))));
}

// One column a system, its samples below each other, so that two systems stand side by side however many samples they have.
function column(name, system, card, texts) {
  const panels = card.outputs.map((one, place) => (one.system === system ? panel(one, texts.outputs[place], place) : null));
  return element("div", { class: "column", "data-system": name }, ...panels.filter((made) => made));
}

function panel(one, text, place) {
  const facts = headline.filter((metric) => !metric.name.endsWith("_pass")).map((metric) => [metric.label, metric.name]);
  const figures = [["words", "words"], ...facts]
    .filter(([, name]) => metricAt.has(name) && one.values[metricAt.get(name)] !== null)
    .map(([label, name]) => `${label} ${spelled(one.values[metricAt.get(name)], name)}`);
  if (!text.finished) figures.push(text.looped ? "ended in a loop" : "cut by the token limit");
  const wrong = text.checks.filter((check) => !check.passed);
  const right = text.checks.filter((check) => check.passed).map((check) => check.name);
  const [remarked, found] = ["remark", "measure"].map((kind) => (
    unique(text.marks.filter((mark) => mark.kind === kind).map((mark) => mark.name))));
  return element("article", { class: "output", "data-system": nameOf(one), "data-place": place },
    element("h4", {}, nameOf(one), element("small", {}, ` ${takeOf(one)}`)),
    element("p", { class: "figures" }, figures.join(" · ")),
    wrong.length ? element("ul", { class: "faults" }, ...wrong.map((check) => (
      element("li", {}, element("b", {}, check.name), ` ${check.reason}`, labels(text, "check", check.name))))) : null,
    right.length ? element("p", { class: "passed", title: wrong.length ? "" : index.no_flag }, `no flag: ${right.join(", ")}`) : null,
    remarked.length ? element("ul", { class: "faults remarked" }, ...remarked.map((name) => (
      element("li", {}, element("b", {}, `${name}, to be looked at`), labels(text, "remark", name))))) : null,
    found.length ? element("ul", { class: "faults found" }, ...found.map((name) => (
      element("li", {}, element("b", {}, `◇ ${name}`), labels(text, "measure", name))))) : null,
    text.thinking ? element("details", { class: "thinking" }, element("summary", {}, "thought aloud, not scored"),
      element("div", { class: "text" }, text.thinking)) : null,
    element("div", { class: "text" }, ...drawn(text)));
}

function labels(text, kind, name) {
  const marks = text.marks.map((mark, place) => ({ ...mark, place })).filter((mark) => mark.kind === kind && mark.name === name);
  return element("span", { class: "spans" }, ...marks.map((mark) => (
    element("span", {}, element("sup", {}, mark.place + 1), ` ${mark.label} `))));
}

// A number stands where its span begins, drawn by the style sheet, so that copied text is the summary's own. There the mark
// can be reached by keyboard too, once however many pieces a span is cut into.
function drawn(text) {
  const numbered = new Set();
  return text.pieces.map((piece) => {
    if (typeof piece === "string") return document.createTextNode(piece);
    const [words, places] = piece;
    const marks = places.map((place) => text.marks[place]);
    const begins = places.filter((place) => !numbered.has(place));
    for (const place of begins) numbered.add(place);
    const kinds = unique(marks.map((mark) => mark.kind)).join(" ");
    const why = marks.map((mark) => `${mark.name}: ${mark.label}`).join("\n");
    const stop = begins.length ? { "data-n": begins.map((place) => place + 1).join(","), tabindex: "0" } : {};
    return element("mark", { class: kinds, "data-why": why, ...stop }, words);
  });
}

// Built when first opened: hundreds of cards with six summaries each are megabytes of text.
async function build(entry) {
  if (entry.built) return entry.built;
  entry.built = bodyOf(entry).then((texts) => {
    entry.node.append(body(entry.card, texts));
    dress(entry, shownSystems());
  });
  return entry.built;
}

function unfold(entry) {
  if (!entry.node.open) {
    entry.byScript = true;
    entry.node.open = true;
  }
  return build(entry);
}

// Reasons -------------------------------------------------------------------------------------------------------------

// Shown on hover and on focus alike, and gone with Escape; `aria-describedby` lets a screen reader read it.
const tip = byId("tip");
let told = null;

function tell(mark) {
  hush();
  told = mark;
  tip.textContent = mark.dataset.why;
  tip.hidden = false;
  mark.setAttribute("aria-describedby", "tip");
  follow();
}

// A mark that is reached by Tab is scrolled to: the reason goes with it.
function follow() {
  if (!told) return;
  const mark = told;
  const place = mark.getClientRects()[0] ?? mark.getBoundingClientRect();
  const left = Math.max(8, Math.min(place.left, innerWidth - tip.offsetWidth - 8));
  const below = place.bottom + tip.offsetHeight + 8 < innerHeight;
  tip.style.left = `${left}px`;
  tip.style.top = `${below ? place.bottom + 4 : place.top - tip.offsetHeight - 4}px`;
}

function hush() {
  told?.removeAttribute("aria-describedby");
  told = null;
  tip.hidden = true;
}

for (const [begin, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  list.addEventListener(begin, (event) => {
    const mark = event.target.closest?.("mark[data-why]");
    if (mark) tell(mark);
  });
  list.addEventListener(end, hush);
}
addEventListener("scroll", follow, { passive: true, capture: true });

// Keys ----------------------------------------------------------------------------------------------------------------

function step(by) {
  const visible = ordered.filter((entry) => !entry.node.hidden);
  const here = visible.findIndex((entry) => entry.node.contains(document.activeElement));
  const next = visible[here < 0 ? (by > 0 ? 0 : visible.length - 1) : here + by];
  next?.head.focus({ preventScroll: true });
  next?.head.scrollIntoView({ block: "center" });
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape") hush();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea")) return;
  if (event.key === "j") step(1);
  if (event.key === "k") step(-1);
  if (event.key === "/") {
    event.preventDefault();
    query.focus();
  }
});

// Start ---------------------------------------------------------------------------------------------------------------

fill();
const entries = index.cards.map((card, place) => {
  const boxes = { chips: element("span", { class: "chips" }), sorted: element("span", { class: "sorted" }) };
  const head = element("summary", {}, element("span", { class: "name" }, card.title), element("span", { class: "family" }, card.family),
    boxes.sorted, boxes.chips);
  const entry = { card, place, head, ...boxes, node: element("details", { class: "card", id: `card-${card.id}` }, head) };
  entry.node.addEventListener("toggle", () => {
    if (entry.node.open) build(entry);
    if (!entry.byScript) remember();
    entry.byScript = false;
  });
  return entry;
});
let ordered = entries;
list.append(...entries.map((entry) => entry.node));

for (const control of [...toggles.values(), fails, family, slice, sample, sort, by, query, differ, worstOf, worstBy]) {
  control.addEventListener("input", () => { apply(); remember(); });
}
pair.addEventListener("input", () => {
  const chosen = pair.value ? JSON.parse(pair.value) : index.systems;
  for (const [name, box] of toggles) box.checked = chosen.includes(name);
  apply();
  remember();
});
for (const form of document.querySelectorAll("form.filters")) form.addEventListener("submit", (event) => event.preventDefault());

byId("old").hidden = "DecompressionStream" in window;

async function show(state) {
  await Promise.all([apply(), state?.open ? unfold(state.open) : null]);
  if (state) (state.open?.node ?? byId("cards")).scrollIntoView();
}
addEventListener("hashchange", () => {
  const state = restore();
  if (state) show(state);
});
const first = restore();
if (!first && entries.length) unfold(entries[0]);
Promise.all([show(first), ...entries.map((entry) => entry.built)]).then(() => {
  // For whoever measures: milliseconds from the start of loading until the page can be used.
  document.documentElement.dataset.ready = Math.round(performance.now());
});
