// The jobs of this browser: what was sent and how it went, in IndexedDB, the newest LIMIT of them. Where a browser keeps
// nothing (a private window), the page goes on without.

const LIMIT = 30;
const STORE = "jobs";
const MOST_BYTES = 64e6; // of a picture that is kept for a look beside its result

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("lutra", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, {keyPath: "job"});
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function within(mode, act) {
  let database;
  try {
    database = await opened();
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } catch (error) {
    console.info("This browser keeps no history:", error);
    return undefined;
  } finally {
    database?.close();
  }
}

// {job, name, at, request, file, thumb, output, model}, the newest first.
export async function all() {
  const found = (await within("readonly", store => store.getAll())) ?? [];
  return found.sort((one, other) => other.at - one.at);
}

export const find = job => within("readonly", store => store.get(job));

export const clear = () => within("readwrite", store => store.clear());

export const remove = job => within("readwrite", store => store.delete(job));

export async function keep(record) {
  const file = record.file && record.file.size <= MOST_BYTES ? record.file : null;
  await within("readwrite", store => store.put({...record, file}));
  for (const old of (await all()).slice(LIMIT)) await remove(old.job);
}
