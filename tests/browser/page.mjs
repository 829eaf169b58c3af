// The page's own script in Node: its fetch, streams and forms are a browser's; of the document only what the script
// touches is stood in for. Usage: node page.mjs URL KEY PICTURE WHAT; prints what the page shows, as JSON.
import {readFileSync} from "node:fs";

const [url, key, path, what] = process.argv.slice(2);
const html = await (await fetch(url + "/")).text();
const elements = new Map();
const kept = new Map();

function element(id) {
  const listeners = {};
  return {
    id, value: "", hidden: false, disabled: false, textContent: "", files: [], children: {},
    addEventListener: (kind, listener) => { listeners[kind] = listener; },
    fire: kind => listeners[kind]({preventDefault() {}}),
    querySelector(selector) { return this.children[selector] ??= element(selector); },
    replaceChildren(...options) { this.options = options.map(option => option.name); },
  };
}

globalThis.document = {getElementById: id => elements.get(id) ?? elements.set(id, element(id)).get(id)};
globalThis.sessionStorage = {getItem: name => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value)};
globalThis.Option = class { constructor(name) { this.name = name; } };
const real = fetch;
globalThis.fetch = (place, options) => real(url + place, options);

const $ = document.getElementById;
$("what").value = what;
$("strength").value = "1";
$("scale").value = "2";
$("model").value = "nearest";
$("key-label").hidden = true;
new Function(html.match(/<script>([^]*)<\/script>/)[1])();

async function until(condition) {
  for (let i = 0; i < 600 && !condition(); i++) await new Promise(done => setTimeout(done, 100));
}

await until(() => $("status").textContent);
const refused = {status: $("status").textContent, asksForKey: !$("key-label").hidden};
$("key").value = key;
$("key").fire("change");
await until(() => $("model").options);
$("file").files = [new File([readFileSync(path)], "photo.jpg", {type: "image/jpeg"})];
$("form").fire("submit");
await until(() => !$("go").disabled);
const save = $("after").children.a;
const result = save?.href ? Buffer.from(await (await real(save.href)).arrayBuffer()).toString("base64") : "";
console.log(JSON.stringify({refused, status: $("status").textContent, progress: $("progress").value,
  models: $("model").options, name: save?.download ?? "", result}));
