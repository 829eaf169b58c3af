// What the page asks of the service: addresses, the API key, problems (RFC 9457), uploads that tell how far they are,
// and a job's events. Nothing here knows the document.

const base = new URL("..", import.meta.url); // the page may lie below a path prefix

export const address = path => new URL(path, base).href;

// Kept until the tab is closed, and sent with everything that is asked.
export const key = {
  get: () => sessionStorage.getItem("key") ?? "",
  set: text => sessionStorage.setItem("key", text),
};

const withKey = headers => ({...headers, ...(key.get() && {Authorization: `Bearer ${key.get()}`})});

// An answer that is no success. `body` is the problem; `retryAfter` is in seconds, null where none was told.
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `The service answered ${status}.`);
    this.status = status;
    this.body = body;
    this.code = String(body.type ?? "").split(":").pop();
    this.retryAfter = retryAfter ? Number(retryAfter) : null;
  }
}

// Nobody answered: a lost connection, or a service that is being started again.
export class Lost extends Error {}

const parsed = text => {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
};

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path), {...options, headers: withKey(options.headers)});
  } catch (error) {
    throw error.name === "AbortError" ? error : new Lost("The connection was lost.");
  }
  if (answer.ok) return answer;
  throw new Problem(answer.status, parsed(await answer.text()), answer.headers.get("Retry-After"));
}

export const askJson = async (path, options) => (await ask(path, options)).json();

// A POST whose upload is followed: `sent` is told a share of 0 to 1. fetch tells no such thing.
export function send(path, body, headers, {sent, signal}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(path));
    for (const [name, value] of Object.entries(withKey(headers))) request.setRequestHeader(name, value);
    request.upload.onprogress = event => event.lengthComputable && sent(event.loaded / event.total);
    request.upload.onload = () => sent(1);
    request.onerror = () => reject(new Lost("The connection was lost."));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.onload = () => {
      const answer = parsed(request.responseText);
      if (request.status < 300) resolve(answer);
      else reject(new Problem(request.status, answer, request.getResponseHeader("Retry-After")));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

function fieldsOf(block) {
  const lines = block.split("\n").filter(line => line && !line.startsWith(":"));
  return Object.fromEntries(lines.map(line => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]));
}

// The events of one connection, after the one whose id `last.id` is; an EventSource could not send the key.
export async function* events(id, last, signal) {
  const headers = last.id ? {"Last-Event-ID": last.id} : {};
  const answer = await ask(`jobs/${id}/events`, {headers, signal});
  if (answer.status === 204) return; // nothing comes after `last`
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const piece = await reader.read().catch(() => ({done: true}));
    if (piece.done) return;
    const blocks = (text + piece.value).split("\n\n");
    text = blocks.pop();
    for (const fields of blocks.map(fieldsOf)) {
      if (!fields.event) continue;
      last.id = fields.id;
      yield {kind: fields.event, ...JSON.parse(fields.data)};
    }
  }
}
