// How far an entry is, in words, in so few (`brief`) that they fit into a line of the list, and as a share of 0 to 1 (null:
// it cannot be told).

import {count, percent, seconds, toldOf} from "./sentences.js";

const ORDINAL = new Intl.PluralRules("en", {type: "ordinal"});
const ENDING = {one: "st", two: "nd", few: "rd", other: "th"};

const nth = number => `${count(number)}${ENDING[ORDINAL.select(number)]}`;
const left = entry => (entry.etaAt === null ? null : Math.max(0, (entry.etaAt - Date.now()) / 1000));

function queued(entry) {
  const place = entry.position === 1 ? "Next in the queue" : entry.position ? `${nth(entry.position)} in the queue` : "In the queue";
  const wait = left(entry);
  return {text: wait === null ? place : `${place}, done in about ${seconds(Math.max(1, wait))}`, brief: place, share: null};
}

function running(entry) {
  const tiles = entry.total > 1 ? `Tile ${count(Math.min(entry.done + 1, entry.total))} of ${count(entry.total)}` : "Working";
  const wait = left(entry);
  const brief = wait === null ? tiles : wait < 1 ? "Nearly done" : `About ${seconds(wait)} left`;
  const text = wait === null ? tiles : `${tiles}, ${brief.toLowerCase()}`;
  return {text, brief, share: entry.total ? entry.done / entry.total : null};
}

function waiting(entry) {
  const again = Math.max(0, Math.ceil((entry.retryAt - Date.now()) / 1000));
  const why = entry.lost ? "The connection is lost" : toldOf(entry.problem).title;
  return {text: `${why}; trying again ${again ? `in ${again} s` : "now"}`, share: null};
}

const PHASES = {
  line: () => ({text: "Waits for those before it", share: null}),
  sending: entry => (entry.sent < 1 ? {text: `Sending, ${percent(entry.sent)}`, share: entry.sent} : {text: "Sent", share: 1}),
  waiting,
  queued,
  running,
  fetching: () => ({text: "Fetching the result", share: 1}),
};

export const progressOf = entry => PHASES[entry.phase]?.(entry) ?? {text: "", share: null};
