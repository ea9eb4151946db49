// The search page: the form, the hits, keyboard navigation, the token and the state of the index.

import { element, hitElement, stems, valueOf } from "/page/hits.js";

const $ = (id) => document.getElementById(id);
const inputOf = (field) => $(`field-${field}`);
const TOKEN = "ingest-token";
let latest = 0; // the number of the newest request; responses to older ones are dropped
let defaultSource = ""; // the source that is searched unless another one is chosen
let known = {}; // all sources as GET /sources describes them, by name and in order

async function request(path, body) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store",
  });
  const answer = await response.json();
  if (response.status === 401) {
    sessionStorage.removeItem(TOKEN);
    if ($("entry").hidden) { $("entry").hidden = false; $("token").focus(); }
    throw new Error(token ? "The server does not know this token." : "");
  }
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

// The search that the form describes, as POST /search takes it.
function formSearch() {
  const filters = {};
  for (const { name } of fieldsOf($("source").value)) {
    const value = inputOf(name).value.trim();
    if (value) filters[name] = value;
  }
  return {
    query: $("query").value.trim(),
    source: $("source").value || undefined,
    mode: document.querySelector("input[name=mode]:checked").value,
    limit: Number($("limit").value) || 10,
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone?.replace("Etc/Unknown", "UTC"),
    filters,
  };
}

// The fields of a source. Filters that were set for another source do not apply to it.
const fieldsOf = (source) => known[source]?.fields ?? [];
const allFields = () => new Map(Object.values(known).flatMap((one) => one.fields).map((field) => [field.name, field]));

// An input for every field of every source, first for those that hits show. Only those of the chosen source are
// shown.
function layOutFields() {
  const fields = [...allFields().values()].sort((one, other) => other.on_hits - one.on_hits);
  const inputs = fields.map((field) => {
    const list = `values-${field.name}`;
    const day = field.type === "time" && ["since", "until"].includes(field.name);
    const input = element("input", { id: `field-${field.name}`, name: field.name, type: day ? "date" : "text", placeholder: "any" });
    input.setAttribute("list", list);
    const hint = `${field.description} Format: ${field.form}.`;
    return element("label", { title: hint }, `${field.label} `, input, element("datalist", { id: list }));
  });
  $("fields").replaceChildren(...inputs);
}

// Run the search of the form, and keep it in the address: "pushState" adds a step to the history,
// "replaceState" does not.
async function run(how = "pushState") {
  const shown = new Set(fieldsOf($("source").value).map((field) => field.name));
  for (const label of $("fields").children) label.hidden = !shown.has(label.querySelector("input").name);
  const search = formSearch();
  const number = ++latest;
  const active = Object.keys(search.filters).length;
  $("active").textContent = active ? ` (${active})` : "";
  writeAddress(search, how);
  if (!search.query) { say(""); $("hits").replaceChildren(); return; }
  document.body.classList.add("busy");
  try {
    const answer = await request("/search", search);
    if (number === latest) show(answer);
  } catch (error) {
    if (number === latest) { $("hits").replaceChildren(); say(messageOf(error), true); }
  } finally {
    if (number === latest) document.body.classList.remove("busy");
  }
}

function show(answer) {
  const words = stems(answer.query);
  const source = known[answer.source] ?? { layout: "text", fields: [] };
  $("hits").replaceChildren(...answer.hits.map((hit) => hitElement(hit, answer, source, words, narrow)));
  const count = answer.hits.length;
  say(count ? `${count} ${count === 1 ? "hit" : "hits"} in ${answer.took_ms.toFixed(1)} ms` : "Nothing found.");
  for (const { name } of source.fields.filter((field) => field.on_hits)) suggest(name, answer.hits.map((hit) => valueOf(hit, name)));
}

// Suggest values that hits had.
function suggest(field, seen) {
  const list = `values-${field}`;
  const values = new Set([...[...$(list).children].map((one) => one.value), ...seen.flat().filter(Boolean).map(String)]);
  $(list).replaceChildren(...[...values].sort().map((value) => element("option", { value })));
}

function narrow(field, value) {
  inputOf(field).value = value;
  $("filters").open ||= hasRoom();
  run();
}

// On a phone, open filters would push the hits off the screen. How many are set is shown anyway.
const hasRoom = () => innerWidth > 480;

// fetch() fails with a TypeError when there is no response.
const messageOf = (error) => (error instanceof TypeError ? "The server does not respond." : error.message);

function say(text, wrong = false) {
  $("said").textContent = text;
  $("said").classList.toggle("wrong", wrong);
}

// The search is kept in the fragment of the address, which is never sent to a server, so that links, "back" and
// reloading work.
function writeAddress(search, how) {
  const kept = new URLSearchParams(search.filters);
  if (search.query) kept.set("query", search.query);
  // The source is left out only if the link will always mean the same one, even when others are built later.
  const first = Object.keys(known)[0];
  if (search.source && (search.source !== defaultSource || search.source !== first)) kept.set("source", search.source);
  if (search.mode !== "hybrid") kept.set("mode", search.mode);
  if (search.limit !== 10) kept.set("limit", search.limit);
  const target = `#${kept}`;
  if (target !== (location.hash || "#")) history[how](null, "", target);
}

function readAddress() {
  const kept = new URLSearchParams(location.hash.slice(1));
  $("query").value = kept.get("query") ?? "";
  for (const name of allFields().keys()) inputOf(name).value = (kept.get(name) ?? "").replace(/T23:59:59Z$/, "");
  $("limit").value = kept.get("limit") ?? 10;
  choose(kept.get("source"));
  const mode = document.querySelector(`input[name=mode][value="${CSS.escape(kept.get("mode") ?? "hybrid")}"]`);
  if (mode) mode.checked = true;
  $("filters").open = hasRoom() && [...allFields().keys()].some((name) => kept.has(name));
  run("replaceState");
}

const optionOf = (source) => element("option", { value: source, textContent: known[source]?.title ?? source });

// Choose a source; the default one where there is no such source. One that a link names is offered even while
// it is not in use, so that the link never means another source.
function choose(source) {
  const exists = Object.hasOwn(known, source);
  const offered = [...$("source").options].map((option) => option.value);
  if (exists && !offered.includes(source)) $("source").append(optionOf(source));
  $("source").value = exists ? source : defaultSource;
}

// Load the state of the index. Returns whether that worked.
async function loadIndex() {
  let held;
  try {
    if (!Object.keys(known).length) {
      known = Object.fromEntries((await request("/sources")).sources.map((source) => [source.name, source]));
      layOutFields();
    }
    held = Object.entries((await request("/status")).sources);
  } catch (error) {
    $("index").textContent = messageOf(error);
    return false;
  }
  const chosen = $("source").value;
  defaultSource = (held.find(([, source]) => source.points > 0) ?? held[0])?.[0] ?? "";
  $("source").replaceChildren(...held.map(([name]) => optionOf(name)));
  choose(chosen);
  $("index").replaceChildren(...held.map(([name, source]) => element("span", { className: "source" },
    element("b", { textContent: known[name]?.title ?? name }), ` ${source.documents.toLocaleString()} documents, ${source.points.toLocaleString()} of ${source.chunks.toLocaleString()} chunks searchable, `,
    element("time", { dateTime: source.last_success ?? "", textContent: source.last_success ? `brought up to date ${ago(source.last_success)}` : "never built" }),
    source.parked ? element("em", { textContent: `, ${source.parked.toLocaleString()} parked` }) : null)));
  return true;
}

function ago(time) {
  const minutes = Math.round((Date.now() - new Date(time)) / 60_000);
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  if (minutes < 1) return "just now";
  if (minutes < 60) return format.format(-minutes, "minute");
  if (minutes < 2_880) return format.format(-Math.round(minutes / 60), "hour");
  return format.format(-Math.round(minutes / 1_440), "day");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const hits = [...$("hits").children];
  const inText = event.target.matches("input:not([type=radio]), select, textarea") && event.target.id !== "query";
  const at = hits.indexOf(event.target.closest?.("#hits > li"));
  if (event.key === "/" && !event.target.matches("input:not([type=radio]), textarea")) {
    event.preventDefault();
    $("query").select();
    $("query").focus();
  } else if (event.key === "Escape" && at >= 0) {
    $("query").focus();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && hits.length && !inText && !event.target.matches("[type=radio]")) {
    event.preventDefault();
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (next < 0 ? $("query") : hits[Math.min(next, hits.length - 1)]).focus();
  } else if (event.key === "Enter" && at >= 0 && event.target === hits[at]) {
    const link = hits[at].querySelector("h2 a");
    if (link) link.click(); else hits[at].open();
  }
});

$("search").addEventListener("submit", (event) => { event.preventDefault(); run(); });
$("search").addEventListener("change", (event) => { if (event.target.id !== "query") run(); });
$("clear").addEventListener("click", () => { for (const name of allFields().keys()) inputOf(name).value = ""; run(); });
$("entry").addEventListener("submit", async (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value.trim());
  $("token").value = "";
  if (await loadIndex()) { $("entry").hidden = true; $("query").focus(); readAddress(); }
});
window.addEventListener("popstate", readAddress);

if (await loadIndex()) readAddress();
setInterval(() => { if (!document.hidden && $("entry").hidden) loadIndex(); }, 60_000);
