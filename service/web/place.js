// The address of the page names its jobs (#job=ID,ID), so that a reload, a bookmark or a link finds them again.

const PREFIX = "#job=";
const ID = /^[\w-]{1,64}$/;

export const jobsInAddress = () =>
  location.hash.startsWith(PREFIX) ? [...new Set(location.hash.slice(PREFIX.length).split(","))].filter(id => ID.test(id)) : [];

export function nameJobs(ids) {
  const hash = ids.length ? PREFIX + ids.join(",") : "";
  if (location.hash !== hash) history.replaceState(null, "", location.pathname + location.search + hash);
}
