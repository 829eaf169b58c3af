// One picture's way: sent (again, where the service is busy or the connection was lost), followed by its events, fetched.
// An entry holds how far it is; `changed(entry)` is called whenever that is news. The document is not known here.

import {ask, askJson, events, Lost, Problem, send} from "./api.js";
import {pathOf} from "./snippets.js";

const AGAIN_MS = 2000;
const LOOK_MS = 3000; // between looks at the place in the queue and the seconds left
const BUSY_S = 5; // where no Retry-After is told
const ENDED = new Set(["succeeded", "failed", "cancelled"]);

export const ACTIVE = new Set(["line", "sending", "waiting", "queued", "running", "fetching"]);

let number = 0;

// `facts`: of pictures.lookAt; `file` is null where only the job is known.
export const newEntry = (name, file, facts) => ({id: `p${++number}`, name, file, ...facts, phase: "chosen", ...untouched()});

const untouched = () => ({
  request: null, job: null, sent: 0, done: 0, total: 0, position: null, etaAt: null, lost: false, retryAt: null,
  problem: null, stop: null, result: null, output: null, model: null, timings: null, found: null, strength: 1,
});

export const startOver = entry => Object.assign(entry, untouched(), {phase: "chosen"});

const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");

// What goes by itself: nobody answered, or a busy service that may answer later.
function isPassing(error) {
  if (error instanceof Lost) return true;
  if (!(error instanceof Problem)) return false;
  return [429, 502, 503, 504].includes(error.status) || (error.status === 409 && error.retryAfter !== null);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("cancelled", "AbortError"));
    });
  });
}

// What is tried until it is answered; meanwhile the entry says that it waits, and until when.
async function insist(entry, changed, signal, act) {
  for (;;) {
    const {phase} = entry;
    try {
      const answer = await act();
      entry.lost = false;
      return answer;
    } catch (error) {
      if (signal.aborted || !isPassing(error)) throw error;
      const seconds = error.retryAfter ?? (error instanceof Lost ? AGAIN_MS / 1000 : BUSY_S);
      Object.assign(entry, {phase: "waiting", lost: error instanceof Lost, problem: error, retryAt: Date.now() + seconds * 1000});
      changed(entry);
      await pause(seconds * 1000, signal);
      Object.assign(entry, {phase, problem: null, retryAt: null});
      changed(entry);
    }
  }
}

function bodyOf({file, request}) {
  if (!request.lut) return file;
  const form = new FormData();
  form.append("file", file, "file");
  form.append("lut", request.lut, "lut");
  return form;
}

const EMPTY = {title: "The file is empty", detail: "It holds no bytes: it may not have been saved or copied whole"};

async function submit(entry, changed, signal) {
  if (!entry.file.size) throw new Problem(400, EMPTY, null); // the service would tell it in words for programs
  const headers = {Prefer: "respond-async", "Idempotency-Key": randomKey()};
  const sent = share => {
    entry.sent = share;
    changed(entry);
  };
  entry.phase = "sending";
  changed(entry);
  const job = await insist(entry, changed, signal, () => send(pathOf(entry.request), bodyOf(entry), headers, {sent, signal}));
  entry.job = job.id;
  take(entry, job);
}

// A job as the service tells it.
function take(entry, job) {
  if (!ENDED.has(job.state)) entry.phase = job.state;
  entry.position = job.queue_position;
  entry.etaAt = job.eta_s === null ? null : Date.now() + job.eta_s * 1000;
  Object.assign(entry, {output: job.output, model: job.model, timings: job.timings_s, found: job.found, state: job.state});
  entry.strength = job.parameters.strength ?? 1;
  entry.request ??= {operation: job.operation, parameters: told(job.parameters), lut: null};
}

const told = ({scale, strength}) => Object.fromEntries(Object.entries({scale, strength}).filter(([, value]) => value != null));

async function look(entry, signal) {
  const job = await askJson(`jobs/${entry.job}`, {signal});
  take(entry, job);
  return job;
}

// Looks now and then, until told to stop: events do not say how long the queue is.
async function keepLooking(entry, changed, signal) {
  while (!signal.aborted) {
    await look(entry, signal).then(() => changed(entry), () => {});
    await pause(LOOK_MS, signal).catch(() => {});
  }
}

function hear(entry, event) {
  if (event.kind === "progress") Object.assign(entry, {done: event.done, total: event.total});
  if (event.kind === "state" && !ENDED.has(event.state)) entry.phase = event.state;
}

// Follows the events until the end, over lost connections and a gateway that is started again.
async function follow(entry, changed, signal) {
  const looking = new AbortController();
  const last = {};
  keepLooking(entry, changed, looking.signal);
  try {
    for (;;) {
      const ended = await insist(entry, changed, signal, () => listen(entry, changed, last, signal));
      if (ended) return;
      await pause(AGAIN_MS, signal);
    }
  } finally {
    looking.abort();
  }
}

async function listen(entry, changed, last, signal) {
  for await (const event of events(entry.job, last, signal)) {
    hear(entry, event);
    entry.lost = false;
    changed(entry);
    if (event.kind === "end") return true;
  }
  return ENDED.has((await look(entry, signal)).state);
}

async function fetchResult(entry, changed, signal) {
  const job = await insist(entry, changed, signal, () => look(entry, signal));
  if (job.state === "failed") throw new Problem(job.error.status, job.error, null);
  if (job.state === "cancelled") throw new DOMException("cancelled", "AbortError");
  entry.phase = "fetching";
  changed(entry);
  entry.result = await insist(entry, changed, signal, async () => (await ask(`jobs/${entry.job}/result`, {signal})).blob());
  entry.phase = "succeeded";
}

// From wherever the entry is to its end. `accepted(entry)` is called once the service has it.
export async function run(entry, changed, accepted = () => {}) {
  entry.stop = new AbortController();
  const {signal} = entry.stop;
  try {
    if (!entry.job) {
      await submit(entry, changed, signal);
      accepted(entry);
    }
    await follow(entry, changed, signal);
    await fetchResult(entry, changed, signal);
  } catch (error) {
    const isCancelled = error.name === "AbortError";
    Object.assign(entry, {phase: isCancelled ? "cancelled" : "failed", problem: isCancelled ? null : error, retryAt: null});
  }
  changed(entry);
}

// The service is told where it knows the job; what it does not know of is over at once.
export async function cancel(entry) {
  if (entry.job) await ask(`jobs/${entry.job}`, {method: "DELETE"}).catch(() => {});
  entry.stop?.abort();
}
