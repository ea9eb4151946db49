// Renders a hit. Whatever comes from the index is inserted as text, never as HTML.

const EXCERPT_CHARS = 360; // of a hit's text, until it is expanded
const EXCERPT_LINES = 12; // of a hit's code, until it is expanded
const LEGS = { dense: "meaning", bm25: "words" };

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Too common to be highlighted.
const COMMON = new Set(("a an and are as at be but by for from had has have he her his how i if in into is it its me my " +
  "no not of on or our she so that the their them they this to us was we were what when which who will with you your")
  .split(" "));

// The stems of a query's words, so that "renewals", "renewed" and "renewal" match each other.
export function stems(query) {
  const words = fold(query).match(/[\p{L}\p{N}]+/gu) ?? [];
  const cut = (word) => (word.length > 4 ? word.replace(/(ings?|ed|es|s|als?|ly|ion|ions)$/u, "") : word);
  return [...new Set(words.filter((word) => !COMMON.has(word)).map(cut))];
}

function fold(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

const found = (word, wanted) =>
  wanted.some((stem) => (stem.length > 3 ? fold(word).startsWith(stem) : fold(word) === stem));

// The text as nodes, with the query's words highlighted.
export function marked(text, wanted) {
  const parts = text.split(/([\p{L}\p{N}\p{M}]+)/u);
  return parts.map((part, i) => (i % 2 && found(part, wanted) ? element("mark", { textContent: part }) : part));
}

// The part of a text around the first word of the query.
function excerpt(whole, wanted) {
  const text = whole.replace(/\s*\n\s*/g, "\n");
  if (text.length <= EXCERPT_CHARS) return text;
  let at = 0;
  for (const match of text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)) {
    if (found(match[0], wanted)) { at = match.index; break; }
  }
  const start = at < EXCERPT_CHARS * 0.7 ? 0 : text.lastIndexOf(" ", at - 80) + 1;
  const end = start + EXCERPT_CHARS >= text.length ? text.length : text.lastIndexOf(" ", start + EXCERPT_CHARS);
  return (start ? "… " : "") + text.slice(start, end > start ? end : start + EXCERPT_CHARS) + (end < text.length ? " …" : "");
}

// The lines of code around the first one that contains a word of the query.
function lines(whole, wanted) {
  const all = whole.split("\n");
  const has = (line) => (line.match(/[\p{L}\p{N}\p{M}]+/gu) ?? []).some((word) => found(word, wanted));
  const at = all.findIndex(has);
  const start = at < EXCERPT_LINES ? 0 : Math.min(at - 2, all.length - EXCERPT_LINES);
  const shown = all.slice(start, start + EXCERPT_LINES);
  return [...(start ? ["…"] : []), ...shown, ...(start + EXCERPT_LINES < all.length ? ["…"] : [])].join("\n");
}

// Only web addresses become links: other schemes could run a script or open a program.
export function webAddress(uri) {
  try {
    const url = new URL(uri);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

function score(name, value, most) {
  const bar = element("span", { className: "bar" }, element("i"));
  bar.firstChild.style.width = `${Math.round(100 * Math.max(0, Math.min(1, most > 0 ? value / most : 0)))}%`;
  const digits = value === undefined ? "–" : value.toFixed(Math.abs(value) < 10 ? 3 : 1);
  return element("span", { className: "score", title: value === undefined ? "Not among the best by this score" : String(value) },
    element("b", { textContent: name }), bar, element("span", { textContent: digits }));
}

function scores(hit, answer) {
  const best = (leg) => Math.max(...answer.hits.map((other) => other.scores[leg] ?? 0));
  const legs = Object.keys(LEGS).filter((leg) => answer.mode === "hybrid" || leg in hit.scores);
  const rows = legs.map((leg) => score(LEGS[leg], hit.scores[leg], best(leg)));
  if (answer.mode === "hybrid") rows.unshift(score("both", hit.score, 1));
  return element("div", { className: "scores" }, ...rows);
}

// A hit's value of a field, which is either common to all sources or an attribute of the hit's own source.
export const valueOf = (hit, field) => hit[field] ?? hit.attributes?.[field];

function shownOf(hit, source, wanted) {
  if (source.layout === "code") {
    const whole = hit.text.replace(/^(\s*\n)+/, "").trimEnd();
    return { tag: "pre", whole, part: lines(whole, wanted) };
  }
  const end = hit.text.indexOf("\n\n"); // of the header lines
  const [head, body] = end < 0 ? ["", hit.text] : [hit.text.slice(0, end), hit.text.slice(end + 2)];
  return { tag: "p", whole: [head, body].filter(Boolean).join("\n\n"), part: excerpt(body, wanted) };
}

// A button that narrows the search to hits that share a value with this one.
function narrowButton(narrow, text, field, value, hint) {
  const button = element("button", { type: "button", className: "same", textContent: text, title: hint });
  button.addEventListener("click", () => narrow(field, value));
  return button;
}

// The symbol and lines of a hit in code.
function placeOf(hit, wanted) {
  const { symbol_kind: kind, symbol_name: symbol, start_line: first, end_line: last } = hit.attributes ?? {};
  return [
    kind ? element("span", { className: "symbol" }, `${kind} `, element("b", {}, ...marked(symbol ?? "", wanted))) : null,
    first ? element("span", { textContent: first === last ? `line ${first}` : `lines ${first} to ${last}` }) : null,
  ];
}

// The line below a title: where and when, and buttons that narrow the search.
function metaOf(hit, source, wanted, narrow) {
  const fields = source.fields.filter((field) => field.on_hits && ![undefined, null, ""].includes(valueOf(hit, field.name)));
  const filters = new Set(source.fields.map((field) => field.name));
  const label = source.layout === "code" ? "this file" : hit.document_id;
  return [
    ...placeOf(hit, wanted),
    ...fields.map((field) => narrowButton(narrow, String(valueOf(hit, field.name)), field.name, valueOf(hit, field.name), `Only this ${field.label.toLowerCase()}`)),
    hit.time ? element("time", { dateTime: hit.time, textContent: day(hit.time) }) : null,
    filters.has("document_id") ? narrowButton(narrow, label, "document_id", hit.document_id, "Only this document") : null,
    ...(filters.has("entity_ids") ? hit.entity_ids : []).slice(0, 3).map((id) => narrowButton(narrow, `◦ ${id.slice(0, 8)}`, "entity_ids", id, `Only entity ${id}`)),
  ];
}

function titleOf(hit, wanted) {
  const words = marked(hit.title || hit.document_id, wanted);
  const href = webAddress(hit.uri);
  return href ? element("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...words) : element("span", {}, ...words);
}

// One hit. `narrow(field, value)` is called to search only for hits with that value.
export function hitElement(hit, answer, source, wanted, narrow) {
  const { tag, whole, part } = shownOf(hit, source, wanted);
  const meta = metaOf(hit, source, wanted, narrow);
  const text = element(tag, { className: "text" }, ...marked(part, wanted));
  const item = element("li", { tabIndex: -1, className: "hit" },
    element("h2", {}, titleOf(hit, wanted)), element("p", { className: "meta" }, ...meta),
    hit.stale ? element("p", { className: "stale", textContent: hit.stale }) : null, text);
  const more = element("button", { type: "button", className: "more", textContent: "Show all", hidden: part === whole });
  item.open = () => {
    const opened = item.classList.toggle("whole");
    text.replaceChildren(...marked(opened ? whole : part, wanted));
    more.textContent = opened ? "Show less" : "Show all";
    more.setAttribute("aria-expanded", String(opened));
  };
  more.setAttribute("aria-expanded", "false");
  more.addEventListener("click", () => item.open());
  item.append(element("div", { className: "foot" }, scores(hit, answer), more));
  return item;
}

function day(time) {
  const date = new Date(time);
  return Number.isNaN(date.valueOf()) ? time : date.toLocaleDateString(undefined, { dateStyle: "medium" });
}
