// The page: what is chosen, dropped or pasted goes into a list, is sent as the form says, and is shown.

import {askJson, key} from "./api.js";
import {EstimatePanel} from "./estimatepanel.js";
import {estimate} from "./estimates.js";
import {exampleFor} from "./example.js";
import {keepFocus} from "./focus.js";
import {receive} from "./incoming.js";
import {ACTIVE, cancel, newEntry, startOver} from "./job.js";
import {List} from "./list.js";
import {resultName} from "./names.js";
import * as past from "./past.js";
import {renderPast} from "./pastlist.js";
import {isShown, lookAt} from "./pictures.js";
import {jobsInAddress, nameJobs} from "./place.js";
import {progressOf} from "./progress.js";
import {save} from "./save.js";
import {isTemporary, pictures, toldOf} from "./sentences.js";
import {Settings} from "./settings.js";
import * as snippets from "./snippetdialog.js";
import {Stage} from "./stage.js";
import {saveTable} from "./tables.js";
import {Turns} from "./turns.js";
import {zip} from "./zip.js";

const VERB = {upscale: "Upscale", restore: "Restore", enhance: "Enhance"};
const AGAIN_MS = 3000;
const UNKNOWN = {format: "", width: 0, height: 0, url: null, thumb: null};

const byId = id => document.getElementById(id);
const told = sentence => (byId("live").textContent = sentence);
const entries = [];
let selected = null;

const stage = new Stage({mend, cancel: stop}, told);
const list = new List(byId("list"), {select, cancel: stop, remove, save: saveResult});
const settings = new Settings(() => {
  panel.ask();
  render();
});
const panel = new EstimatePanel(targets, requestOf, change => settings.apply(change));
const turns = new Turns(changed, accepted, ended);

// -- what is there -----------------------------------------------------------------------------------------------------

async function add(files) {
  for (const file of files) {
    const entry = newEntry(file.name || "pasted.png", file, await lookAt(file));
    entries.push(entry);
    selected = entry;
  }
  told(`${pictures(files.length)} chosen`);
  panel.ask();
  renderNow();
  keepFocus(true);
}

function select(entry) {
  selected = entry;
  stage.bringIntoSight();
  panel.ask();
  render();
}

function remove(entry) {
  const place = entries.indexOf(entry);
  entries.splice(place, 1);
  if (entry.url) URL.revokeObjectURL(entry.url);
  if (selected === entry) selected = entries[Math.min(place, entries.length - 1)] ?? null;
  nameAll();
  panel.ask();
  render();
  byId(entries.length ? "add" : "choose").focus();
}

const nameAll = () => nameJobs(entries.map(entry => entry.job).filter(Boolean));

// -- what is asked -----------------------------------------------------------------------------------------------------

// What the form says, for this photo: a result that this browser could not show is asked for as PNG.
function requestOf(entry) {
  const request = settings.request;
  const isUnseen = entry.format !== "" && !isShown(entry.format) && !request.parameters.format;
  return isUnseen ? {...request, parameters: {...request.parameters, format: "png"}} : request;
}

const nameOf = ({operation, parameters, lut}) => JSON.stringify([operation, parameters, lut?.name, lut?.size, lut?.lastModified]);
const isAsked = entry => entry.request !== null && nameOf(entry.request) === nameOf(requestOf(entry));
const isDone = entry => entry.phase === "succeeded" && isAsked(entry);
const isRefused = entry => entry.phase === "failed" && !isTemporary(entry.problem) && isAsked(entry);

// The photos that the button sends: all that are not on their way, done or refused already; the selected one where all are.
function targets() {
  const free = entries.filter(entry => entry.file && !ACTIVE.has(entry.phase));
  const open = free.filter(entry => !isDone(entry) && !isRefused(entry));
  return open.length ? open : free.filter(entry => entry === selected);
}

async function start(entry, request) {
  startOver(entry);
  Object.assign(entry, {request, phase: "line"});
  const answer = await estimate(request, entry);
  if (answer?.status === 422) {
    Object.assign(entry, {phase: "failed", problem: answer});
    changed(entry);
  } else if (entry.phase === "line") {
    turns.add(entry);
  }
  nameAll();
}

function mend(entry, {change, again}) {
  if (change) settings.apply(change);
  start(entry, again ? entry.request : requestOf(entry));
}

function stop(entry) {
  if (turns.leave(entry) || !entry.stop) entry.phase = "cancelled";
  else cancel(entry);
  changed(entry);
}

// -- what becomes of it ------------------------------------------------------------------------------------------------

function changed(entry) {
  if (entry.phase === "failed" && entry.problem.status === 401) askForKey(entry.problem);
  if (entry.phase !== entry.spoken && ACTIVE.has(entry.phase)) told(`${entry.name}: ${progressOf(entry).text}`);
  entry.spoken = entry.phase;
  render();
}

const recordOf = ({job, name, request, file, thumb}) => ({job, name, request, file, thumb, at: Date.now()});

function accepted(entry) {
  nameAll();
  past.keep(recordOf(entry));
}

function ended(entry) {
  const words = {succeeded: "done", failed: entry.problem && toldOf(entry.problem).title, cancelled: "cancelled"};
  told(`${entry.name}: ${words[entry.phase] ?? ""}`);
  panel.ask();
  render();
}

async function again(record) {
  const entry = newEntry(record.name, record.file ?? null, record.file ? await lookAt(record.file) : UNKNOWN);
  Object.assign(entry, {job: record.job, request: record.request ?? null, thumb: entry.thumb ?? record.thumb ?? null});
  entries.push(entry);
  selected = entry;
  turns.add(entry);
  nameAll();
}

async function restore() {
  const present = new Set(entries.map(entry => entry.job));
  for (const job of jobsInAddress().filter(id => !present.has(id))) {
    await again((await past.find(job)) ?? {job, name: "Photo"});
  }
  nameAll();
}

// -- saving ------------------------------------------------------------------------------------------------------------

async function saveResult(entry) {
  const isLookedAt = entry === selected;
  const blob = isLookedAt ? await stage.blob() : entry.result;
  save(blob, resultName(entry.name, entry.request, entry.output, isLookedAt ? stage.strength : 1));
}

async function saveAll() {
  const done = entries.filter(entry => entry.phase === "succeeded");
  const files = done.map(entry => ({name: resultName(entry.name, entry.request, entry.output), blob: entry.result}));
  save(await zip(files), "lutra.zip");
}

async function saveCube() {
  byId("save-cube").disabled = true;
  try {
    await saveTable(selected, stage.strength);
  } catch (problem) {
    const {title, text} = toldOf(problem);
    byId("unseen").hidden = false;
    byId("unseen").textContent = `${title}. ${text}`;
  }
  byId("save-cube").disabled = false;
}

// -- what is shown -----------------------------------------------------------------------------------------------------

let drawing = 0;
function render() {
  drawing ||= requestAnimationFrame(renderNow);
}

function renderNow() {
  drawing = 0;
  stage.render(selected);
  list.render(entries, selected);
  const sent = targets();
  const succeeded = entries.filter(entry => entry.phase === "succeeded");
  byId("pictures").hidden = !entries.length;
  byId("save-all").hidden = succeeded.length < 2;
  byId("go").disabled = !sent.length;
  byId("go").classList.toggle("primary", !sent.every(isDone));
  byId("copy").disabled = !selected?.file;
  byId("go").textContent = VERB[settings.operation] + (sent.length > 1 ? ` ${pictures(sent.length)}` : sent[0]?.phase === "succeeded" ? " again" : "");
  document.body.classList.toggle("busy", entries.some(entry => ACTIVE.has(entry.phase)));
  keepFocus();
}

function askForKey(problem) {
  const form = byId("key-form");
  const isWrong = key.get() !== "";
  byId("key-told").textContent = isWrong ? toldOf(problem).text : "";
  if (form.hidden || isWrong) {
    form.hidden = false;
    byId("key").focus();
  }
}

async function load() {
  try {
    const [{models}, {presets}] = await Promise.all([askJson("models"), askJson("presets")]);
    settings.serve(models, presets);
    byId("key-form").hidden = true;
    panel.ask();
    restore();
    renderPast(again, new Set(jobsInAddress()));
  } catch (problem) {
    if (problem.status === 401) return askForKey(problem);
    told(`${toldOf(problem).text} Trying again.`);
    setTimeout(load, AGAIN_MS);
  }
  return undefined;
}

function takeKey(event) {
  event.preventDefault();
  key.set(byId("key").value.trim());
  for (const entry of entries.filter(one => one.problem?.status === 401)) {
    if (entry.job) turns.add(entry);
    else startOver(entry);
  }
  load();
  render();
}

// -- wiring ------------------------------------------------------------------------------------------------------------

// Nobody's photo and soon done: it starts at once. What people bring waits for the button, which says what it comes to.
async function tryExample(operation) {
  settings.apply({operation});
  await add([await exampleFor(operation)]);
  start(selected, requestOf(selected));
}

async function clearPast() {
  await past.clear();
  renderPast(again, new Set());
  told("The history is cleared");
}

receive(add, file => settings.useTable(file));
snippets.listen(told);
byId("form").addEventListener("submit", event => {
  event.preventDefault();
  for (const entry of targets()) start(entry, requestOf(entry));
  stage.bringIntoSight();
});
byId("key-form").addEventListener("submit", takeKey);
for (const sample of document.querySelectorAll("[data-example]")) {
  sample.addEventListener("click", () => tryExample(sample.dataset.example));
}
byId("save").addEventListener("click", () => saveResult(selected));
byId("save-cube").addEventListener("click", saveCube);
byId("save-all").addEventListener("click", saveAll);
byId("past-clear").addEventListener("click", clearPast);
byId("copy").addEventListener("click", () => snippets.showSnippets(selected.name, requestOf(selected), selected.output));
window.addEventListener("hashchange", restore);
setInterval(() => entries.some(entry => ACTIVE.has(entry.phase)) && render(), 1000);
load();
render();
