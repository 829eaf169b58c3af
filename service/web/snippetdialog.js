// The dialog with the request as curl and as Python.

import {asCurl, asPython} from "./snippets.js";

const byId = id => document.getElementById(id);

async function copy(area, told) {
  area.select();
  try {
    await navigator.clipboard.writeText(area.value);
  } catch {
    document.execCommand("copy"); // pages of plain HTTP have no clipboard of their own
  }
  told("Copied");
}

export function listen(told) {
  byId("snippet-close").addEventListener("click", () => byId("snippet").close());
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", () => copy(byId(button.dataset.copies), told));
  }
}

// `name`: of the photo's file; `output` as of names.resultName.
export function showSnippets(name, request, output) {
  byId("snippet-curl").value = asCurl(name, request, output);
  byId("snippet-python").value = asPython(name, request, output);
  byId("snippet").showModal();
}
