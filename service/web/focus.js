// Where the keyboard is when the button that it was on is gone: at what one would press next.

const NEXT = ["#save", "#trouble-mends button", "#go", "#choose"]; // the first of these that can be pressed

const canBePressed = element => element.isConnected && !element.disabled && element.checkVisibility();
let held = null;
let isLost = false;

document.addEventListener("focusin", event => {
  held = event.target;
  isLost = false;
});

// `isAtRest`: nothing was being used, as when a photo is dropped.
export function keepFocus(isAtRest = false) {
  const {activeElement, body} = document;
  if (activeElement !== body && canBePressed(activeElement)) return;
  isLost ||= isAtRest || (held !== null && !canBePressed(held));
  if (!isLost) return;
  const next = NEXT.map(selector => document.querySelector(selector)).find(element => element && canBePressed(element));
  next?.focus({preventScroll: true});
}
