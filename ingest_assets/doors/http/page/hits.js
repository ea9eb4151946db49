// A hit as elements. Whatever comes from the index is put in as text, never as HTML.

const SHOWN = 360; // characters of a hit's text before it is opened
const LINES = 12; // and lines, of code
const LEGS = { dense: "meaning", bm25: "words" };

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Too common to be worth a mark.
const COMMON = new Set(("a an and are as at be but by for from had has have he her his how i if in into is it its me my " +
  "no not of on or our she so that the their them they this to us was we were what when which who will with you your")
  .split(" "));

// Words of a query, cut to what several forms of a word share: "renewals", "renewed" and "renewal" have one.
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

// The text as nodes, with the words that were asked for marked.
export function marked(text, wanted) {
  const parts = text.split(/([\p{L}\p{N}\p{M}]+)/u);
  return parts.map((part, i) => (i % 2 && found(part, wanted) ? element("mark", { textContent: part }) : part));
}

// The part of a text around the first word that was asked for.
function excerpt(whole, wanted) {
  const text = whole.replace(/\s*\n\s*/g, "\n");
  if (text.length <= SHOWN) return text;
  let at = 0;
  for (const match of text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)) {
    if (found(match[0], wanted)) { at = match.index; break; }
  }
  const start = at < SHOWN * 0.7 ? 0 : text.lastIndexOf(" ", at - 80) + 1;
  const end = start + SHOWN >= text.length ? text.length : text.lastIndexOf(" ", start + SHOWN);
  return (start ? "… " : "") + text.slice(start, end > start ? end : start + SHOWN) + (end < text.length ? " …" : "");
}

// The lines of code around the first that has a word that was asked for.
function lines(whole, wanted) {
  const all = whole.split("\n");
  const has = (line) => (line.match(/[\p{L}\p{N}\p{M}]+/gu) ?? []).some((word) => found(word, wanted));
  const at = all.findIndex(has);
  const start = at < LINES ? 0 : Math.min(at - 2, all.length - LINES);
  const shown = all.slice(start, start + LINES);
  return [...(start ? ["…"] : []), ...shown, ...(start + LINES < all.length ? ["…"] : [])].join("\n");
}

// Only web addresses become links: another scheme could run a script or open a program.
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
  return element("span", { className: "score", title: value === undefined ? "Not among its best" : String(value) },
    element("b", { textContent: name }), bar, element("span", { textContent: digits }));
}

function scores(hit, answer) {
  const best = (leg) => Math.max(...answer.hits.map((other) => other.scores[leg] ?? 0));
  const legs = Object.keys(LEGS).filter((leg) => answer.mode === "hybrid" || leg in hit.scores);
  const rows = legs.map((leg) => score(LEGS[leg], hit.scores[leg], best(leg)));
  if (answer.mode === "hybrid") rows.unshift(score("both", hit.score, 1));
  return element("div", { className: "scores" }, ...rows);
}

// How a hit of code reads, and any other.
const isCode = (hit) => hit.attributes?.start_line !== undefined;

function shownOf(hit, wanted) {
  if (isCode(hit)) {
    const whole = hit.text.replace(/^(\s*\n)+/, "").trimEnd();
    return { tag: "pre", whole, part: lines(whole, wanted) };
  }
  const border = hit.text.indexOf("\n\n");
  const [head, body] = border < 0 ? ["", hit.text] : [hit.text.slice(0, border), hit.text.slice(border + 2)];
  return { tag: "p", whole: [head, body].filter(Boolean).join("\n\n"), part: excerpt(body, wanted) };
}

// A button to see only hits that share something with this one.
function same(narrow, text, field, value, hint) {
  const button = element("button", { type: "button", className: "same", textContent: text, title: hint });
  button.addEventListener("click", () => narrow(field, value));
  return button;
}

function aboutRecord(hit, narrow) {
  return [
    same(narrow, hit.kind, "kind", hit.kind, "Only this kind"),
    hit.time ? element("time", { dateTime: hit.time, textContent: day(hit.time) }) : null,
    same(narrow, hit.document_id, "document_id", hit.document_id, "Only this document"),
    ...hit.entity_ids.slice(0, 3).map((id) => same(narrow, `◦ ${id.slice(0, 8)}`, "entity_ids", id, `Only entity ${id}`)),
  ];
}

function aboutCode(hit, wanted, narrow) {
  const { symbol_kind: kind, symbol_name: symbol, start_line: first, end_line: last, language, repository } = hit.attributes;
  return [
    element("span", { className: "symbol" }, `${kind} `, element("b", {}, ...marked(symbol, wanted))),
    element("span", { textContent: first === last ? `line ${first}` : `lines ${first} to ${last}` }),
    same(narrow, language, "language", language, "Only this language"),
    repository ? same(narrow, repository, "repository", repository, "Only this repository") : null,
    same(narrow, "this file", "document_id", hit.document_id, "Only this document"),
  ];
}

function titleOf(hit, wanted) {
  const words = marked(hit.title || hit.document_id, wanted);
  const href = webAddress(hit.uri);
  return href ? element("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...words) : element("span", {}, ...words);
}

// One hit. `narrow(field, value)` is called to see only hits that share something with it.
export function hitElement(hit, answer, wanted, narrow) {
  const { tag, whole, part } = shownOf(hit, wanted);
  const about = isCode(hit) ? aboutCode(hit, wanted, narrow) : aboutRecord(hit, narrow);
  const text = element(tag, { className: "text" }, ...marked(part, wanted));
  const item = element("li", { tabIndex: -1, className: "hit" },
    element("h2", {}, titleOf(hit, wanted)), element("p", { className: "meta" }, ...about), text);
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
