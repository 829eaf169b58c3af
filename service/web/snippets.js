// The request that is made here, as a line of curl and as a program in Python.

import {address, key} from "./api.js";
import {resultName} from "./names.js";

// As in /upscale?scale=3.7; what is as the service has it anyway is not said.
export function pathOf(request) {
  const query = new URLSearchParams(request.parameters).toString();
  return request.operation + (query && `?${query}`);
}

const quoted = text => `'${text.replaceAll("'", `'\\''`)}'`;
const inForm = name => quoted(`"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`).slice(1, -1);

function outputOf(name, request, output) {
  return request.parameters.format === "cube" ? `${name}.cube` : resultName(name, request, output);
}

// `name`: of the picture's file; `request.lut`: the .cube file that goes along, if any.
export function asCurl(name, request, output) {
  const lines = ["curl --fail-with-body -H 'Prefer: wait=600'"];
  if (key.get()) lines.push('-H "Authorization: Bearer $LUTRA_KEY"');
  if (request.lut) lines.push(`-F 'file=@${inForm(name)}' -F 'lut=@${inForm(request.lut.name)}'`);
  else lines.push(`--data-binary ${quoted(`@${name}`)}`);
  lines.push(quoted(address(pathOf(request))), `-o ${quoted(outputOf(name, request, output))}`);
  return lines.join(" \\\n  ");
}

export function asPython(name, request, output) {
  const text = JSON.stringify;
  const headers = key.get()
    ? '{"Prefer": "wait=600", "Authorization": f"Bearer {os.environ[\'LUTRA_KEY\']}"}'
    : '{"Prefer": "wait=600"}';
  const parameters = Object.entries(request.parameters).map(([option, value]) => `${text(option)}: ${text(value)}`);
  const file = one => `open(${text(one)}, "rb")`;
  const body = request.lut
    ? `files={"file": ${file(name)}, "lut": ${file(request.lut.name)}}`
    : `content=${file(name)}.read()`;
  const lines = [
    ...(key.get() ? ["import os", ""] : []),
    "import httpx",
    "",
    "answer = httpx.post(",
    `    ${text(address(request.operation))},`,
    `    params={${parameters.join(", ")}},`,
    `    headers=${headers},`,
    `    ${body},`,
    "    timeout=660,",
    ")",
    "answer.raise_for_status()",
    `with open(${text(outputOf(name, request, output))}, "wb") as file:`,
    "    file.write(answer.content)",
  ];
  return lines.join("\n");
}
