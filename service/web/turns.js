// Who is on its way, and who waits for a turn: browsers open few connections to one host, and each job's events hold one.

import {run} from "./job.js";

const AT_ONCE = 3;

export class Turns {
  constructor(changed, accepted, ended) {
    Object.assign(this, {changed, accepted, ended, running: 0, line: []});
  }

  add(entry) {
    Object.assign(entry, {phase: "line", problem: null});
    this.line.push(entry);
    this.changed(entry);
    this.next();
  }

  // Takes it out of the line; whether it was there.
  leave(entry) {
    const place = this.line.indexOf(entry);
    if (place >= 0) this.line.splice(place, 1);
    return place >= 0;
  }

  next() {
    while (this.running < AT_ONCE && this.line.length) {
      const entry = this.line.shift();
      this.running++;
      run(entry, this.changed, this.accepted).finally(() => {
        this.running--;
        this.ended(entry);
        this.next();
      });
    }
  }
}
