// Files from outside: chosen, dropped anywhere on the page, or pasted. A drop never makes the browser leave the page.

const byId = id => document.getElementById(id);

const isTable = file => file.name.toLowerCase().endsWith(".cube");
const hasFiles = event => [...(event.dataTransfer?.types ?? [])].includes("Files");

// `photos(files)` and `table(file)` take what came.
export function receive(photos, table) {
  const take = list => {
    const files = [...list];
    const cube = files.find(isTable);
    if (cube) table(cube);
    const rest = files.filter(file => !isTable(file));
    if (rest.length) photos(rest);
  };
  for (const id of ["choose", "add"]) byId(id).addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", () => {
    take(byId("files").files);
    byId("files").value = "";
  });
  window.addEventListener("paste", event => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    take(event.clipboardData.files);
  });
  watchDrops(take);
}

function watchDrops(take) {
  let depth = 0; // of elements that what is dragged has entered and not left
  const show = () => (byId("dropping").hidden = depth <= 0);
  window.addEventListener("dragenter", event => {
    event.preventDefault();
    if (hasFiles(event)) depth++;
    show();
  });
  window.addEventListener("dragleave", event => {
    if (hasFiles(event)) depth--;
    show();
  });
  window.addEventListener("dragover", event => {
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = hasFiles(event) ? "copy" : "none";
  });
  window.addEventListener("drop", event => {
    event.preventDefault();
    depth = 0;
    show();
    if (event.dataTransfer?.files.length) take(event.dataTransfer.files);
  });
}
