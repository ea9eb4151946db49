// The search page: what is asked, what comes back, keys, the token and the state of the index.

import { element, hitElement, stems } from "/page/hits.js";

const $ = (id) => document.getElementById(id);
const FILTERS = ["kind", "since", "until", "language", "repository", "document_id", "entity_ids"];
const TOKEN = "ingest-token";
let latest = 0; // the number of the newest request: an older one's answer is not shown
let usual = ""; // the source that is searched unless another one is chosen

async function ask(path, body) {
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

function wanted() {
  const filters = {};
  for (const name of FILTERS.filter((one) => isFor($("source").value, $(one).parentElement))) {
    const value = $(name).value.trim();
    if (value) filters[name] = name === "until" && !value.includes("T") ? `${value}T23:59:59Z` : value;
  }
  return {
    query: $("query").value.trim(),
    source: $("source").value || undefined,
    mode: document.querySelector("input[name=mode]:checked").value,
    limit: Number($("limit").value) || 10,
    filters,
  };
}

// Whether a filter's field is one of a source's: what another source was narrowed by does not count for it.
const isFor = (source, label) => !label.dataset.source || label.dataset.source === source;

async function search(keep = "pushState") {
  for (const label of document.querySelectorAll(".fields label")) label.hidden = !isFor($("source").value, label);
  const asked = wanted();
  const number = ++latest;
  const active = Object.keys(asked.filters).length;
  $("active").textContent = active ? ` (${active})` : "";
  remember(asked, keep);
  if (!asked.query) { say(""); $("hits").replaceChildren(); return; }
  document.body.classList.add("busy");
  try {
    const answer = await ask("/search", asked);
    if (number === latest) show(answer);
  } catch (error) {
    if (number === latest) { $("hits").replaceChildren(); say(error instanceof TypeError ? "The server does not answer." : error.message, true); }
  } finally {
    if (number === latest) document.body.classList.remove("busy");
  }
}

function show(answer) {
  const words = stems(answer.query);
  $("hits").replaceChildren(...answer.hits.map((hit) => hitElement(hit, answer, words, narrow)));
  const count = answer.hits.length;
  say(count ? `${count} ${count === 1 ? "hit" : "hits"} in ${answer.took_ms.toFixed(1)} ms` : "Nothing was found.");
  offer("kinds", answer.hits.filter((hit) => !hit.attributes.language).map((hit) => hit.kind));
  offer("languages", answer.hits.map((hit) => hit.attributes.language));
  offer("repositories", answer.hits.map((hit) => hit.attributes.repository));
}

// Values that were seen, to choose from.
function offer(list, seen) {
  const values = new Set([...[...$(list).children].map((one) => one.value), ...seen.filter(Boolean)]);
  $(list).replaceChildren(...[...values].sort().map((value) => element("option", { value })));
}

function narrow(field, value) {
  $(field).value = value;
  $("filters").open ||= roomy();
  search();
}

// On a phone open filters would push the hits off the screen; how many are set is shown anyway.
const roomy = () => innerWidth > 480;

function say(text, wrong = false) {
  $("said").textContent = text;
  $("said").classList.toggle("wrong", wrong);
}

// What is asked is kept behind the # of the address, which is never sent, so that "back" and a reload find it.
function remember(asked, keep) {
  const kept = new URLSearchParams(asked.filters);
  if (asked.query) kept.set("query", asked.query);
  // Left out only where no link could mean another one, also when another source is built later.
  if (asked.source && (asked.source !== usual || asked.source !== sources()[0])) kept.set("source", asked.source);
  if (asked.mode !== "hybrid") kept.set("mode", asked.mode);
  if (asked.limit !== 10) kept.set("limit", asked.limit);
  const target = `#${kept}`;
  if (target !== (location.hash || "#")) history[keep](null, "", target);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const name of ["query", ...FILTERS]) $(name).value = (kept.get(name) ?? "").replace(/T23:59:59Z$/, "");
  $("limit").value = kept.get("limit") ?? 10;
  choose(kept.get("source"));
  const mode = document.querySelector(`input[name=mode][value="${CSS.escape(kept.get("mode") ?? "hybrid")}"]`);
  if (mode) mode.checked = true;
  $("filters").open = roomy() && FILTERS.some((name) => kept.has(name));
  search("replaceState");
}

const sources = () => [...$("source").options].map((option) => option.value);

function choose(source) {
  $("source").value = sources().includes(source) ? source : usual;
}

async function lookAtIndex() {
  let held;
  try {
    held = Object.entries((await ask("/status")).sources);
  } catch (error) {
    $("index").textContent = error instanceof TypeError ? "The server does not answer." : error.message;
    return false;
  }
  const chosen = $("source").value;
  usual = (held.find(([, source]) => source.points > 0) ?? held[0])?.[0] ?? "";
  $("source").replaceChildren(...held.map(([name]) => element("option", { value: name, textContent: name })));
  choose(chosen);
  $("index").replaceChildren(...held.map(([name, source]) => element("span", { className: "source" },
    element("b", { textContent: name }), ` ${source.documents.toLocaleString()} documents, ${source.points.toLocaleString()} of ${source.chunks.toLocaleString()} chunks searchable, `,
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

$("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
$("search").addEventListener("change", (event) => { if (event.target.id !== "query") search(); });
$("clear").addEventListener("click", () => { for (const name of FILTERS) $(name).value = ""; search(); });
$("entry").addEventListener("submit", async (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value.trim());
  $("token").value = "";
  if (await lookAtIndex()) { $("entry").hidden = true; $("query").focus(); recall(); }
});
window.addEventListener("popstate", recall);

if (await lookAtIndex()) recall();
setInterval(() => { if (!document.hidden && $("entry").hidden) lookAtIndex(); }, 60_000);
