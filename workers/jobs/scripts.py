"""The store's state changes as Lua scripts: each runs whole or not at all, by Redis' own clock.

Keys (prefix `lutra:`)

    job:<j>            hash      one client's request: its computation, detached, cancelled_at
    comp:<c>           hash      the work: state, attempt, owner, progress, facts, timings, error
    comp:<c>:jobs      set       jobs that wait for it
    in:<c>:<n>         string    input in pieces: picture, table     out:<c>:<attempt>:<n>   result in pieces
    events:<j>         stream    capped; its ids are the ids of the Server-Sent Events
    gone:<j>           string    tombstone: was here, is no more: 1 (its time was over), deleted, delivered, told
    active             zset      computation -> end of its hold; its size is what QUEUE_SIZE limits
    queued             zset      computation -> time of creation      running   zset   computation -> end of its lease
    blobs, blob_sizes, blob_bytes      who holds how many bytes (pictures, records, events) until when, and their sum
    delivered          zset      computation whose end reached all its clients -> when; may go where room is needed
    alive              zset      worker child -> last heartbeat        child_facts   hash   what it told of itself
    served             zset      place of a worker -> when a child of it was last alive
    returning          zset      place of a worker whose child loads -> until when jobs are admitted in the hope of it
    rates              hash      how fast each model is here, as `workers.operations.speeds` words it

No command newer than Redis 6.2. ARGV alone is used: this is not for a Redis cluster (nor is Celery).
"""

from __future__ import annotations

PRELUDE = """
local P = 'lutra:'
local FOREVER = 1e13
local AT_ONCE = 1000
local time = redis.call('TIME')
local NOW = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function stamp() return string.format('%.6f', NOW) end

local function emit_to(job, kind, data)
  redis.call('XADD', P .. 'events:' .. job, 'MAXLEN', 512, '*', 'kind', kind, 'data', data)
  redis.call('PUBLISH', P .. 'wake', job .. ' ' .. kind)
end

local function emit(comp, kind, data)
  for _, job in ipairs(redis.call('SMEMBERS', P .. 'comp:' .. comp .. ':jobs')) do
    if redis.call('HGET', P .. 'job:' .. job, 'left') ~= '1' then emit_to(job, kind, data) end
  end
end

local function hold(comp, size, until_time)
  local before = tonumber(redis.call('HGET', P .. 'blob_sizes', comp) or '0')
  redis.call('INCRBY', P .. 'blob_bytes', size - before)
  if size > 0 then
    redis.call('HSET', P .. 'blob_sizes', comp, size)
    redis.call('ZADD', P .. 'blobs', until_time, comp)
  else
    redis.call('HDEL', P .. 'blob_sizes', comp)
    redis.call('ZREM', P .. 'blobs', comp)
    redis.call('ZREM', P .. 'delivered', comp)
  end
end

local function sweep()
  redis.call('ZREMRANGEBYSCORE', P .. 'active', '-inf', NOW)  -- first: never refused, see write_in_spite_of_oom
  local expired = redis.call('ZRANGEBYSCORE', P .. 'blobs', '-inf', NOW, 'LIMIT', 0, AT_ONCE)
  for _, comp in ipairs(expired) do hold(comp, 0, 0) end
end

local function drop_input(comp)
  local n = tonumber(redis.call('HGET', P .. 'comp:' .. comp, 'input_chunks') or '0')
  for i = 0, n - 1 do redis.call('UNLINK', P .. 'in:' .. comp .. ':' .. i) end
end

local function leave(comp)
  redis.call('ZREM', P .. 'queued', comp)
  redis.call('ZREM', P .. 'running', comp)
  redis.call('ZREM', P .. 'active', comp)
end

local function drop_result(comp)
  local at = redis.call('HMGET', P .. 'comp:' .. comp, 'result_attempt', 'result_chunks')
  for i = 0, tonumber(at[2] or '0') - 1 do redis.call('UNLINK', P .. 'out:' .. comp .. ':' .. at[1] .. ':' .. i) end
end

-- bytes of Redis' memory that these keys take
local function weigh(...)
  local bytes = 0
  for _, k in ipairs({...}) do bytes = bytes + (redis.call('MEMORY', 'USAGE', k) or 0) end
  return bytes
end

local function weigh_job(job) return weigh(P .. 'job:' .. job, P .. 'events:' .. job, P .. 'gone:' .. job) end

-- records and events of a computation and its jobs: what it takes beside its pictures
local function weigh_records(comp)
  local key = P .. 'comp:' .. comp
  local bytes = weigh(key, key .. ':jobs')
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do bytes = bytes + weigh_job(job) end
  return bytes
end

-- nothing of the computation stays but the tombstones of its jobs
local function remove(comp, why)
  local key = P .. 'comp:' .. comp
  drop_result(comp)
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    redis.call('UNLINK', P .. 'job:' .. job, P .. 'events:' .. job)
    redis.call('SET', P .. 'gone:' .. job, why, 'KEEPTTL')
  end
  redis.call('UNLINK', key, key .. ':jobs')
  hold(comp, 0, 0)
end

-- where every job that still wants the result (or the problem) has it: may go where room is needed
local function note_if_all_have_it(comp)
  local key = P .. 'comp:' .. comp
  local state = redis.call('HGET', key, 'state')
  if state ~= 'succeeded' and state ~= 'failed' then return end
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    local told = redis.call('HMGET', P .. 'job:' .. job, 'left', 'delivered')
    if told[1] ~= '1' and told[2] ~= '1' then return end
  end
  if redis.call('ZSCORE', P .. 'blobs', comp) then redis.call('ZADD', P .. 'delivered', 'NX', NOW, comp) end
end

-- remove what was delivered, the oldest delivery first, until so many bytes are free; none where all is not enough.
-- Of very many small ones some at a time: nobody else is served while a script runs
local function make_room(bytes)
  local found, going, at = 0, {}, 0
  while found < bytes do
    local some = redis.call('ZRANGE', P .. 'delivered', at, at + 99)
    if #some == 0 then return 'store_full' end
    for i, size in ipairs(redis.call('HMGET', P .. 'blob_sizes', unpack(some))) do
      if found >= bytes then break end
      found = found + tonumber(size or '0')
      going[#going + 1] = some[i]
    end
    at = at + 100
  end
  for i = 1, math.min(#going, AT_ONCE) do
    remove(going[i], redis.call('HGET', P .. 'comp:' .. going[i], 'state') == 'succeeded' and 'delivered' or 'told')
  end
  return #going <= AT_ONCE and 'ok' or 'again'
end

-- the one way into a terminal state; result_bytes 0 where there is none
local function finish(comp, state, ttl, tombstone, result_bytes, error)
  local key = P .. 'comp:' .. comp
  redis.call('HSET', key, 'state', state, 'finished_at', stamp())
  if error ~= '' then redis.call('HSET', key, 'error', error) end
  leave(comp)
  drop_input(comp)
  redis.call('EXPIRE', key, ttl)
  redis.call('EXPIRE', key .. ':jobs', ttl)
  emit(comp, 'state', '{"state":"' .. state .. '"}')
  emit(comp, 'end', '{"state":"' .. state .. '"}')
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    redis.call('EXPIRE', P .. 'job:' .. job, ttl)
    redis.call('EXPIRE', P .. 'events:' .. job, ttl)
    redis.call('SET', P .. 'gone:' .. job, '1', 'EX', ttl + tombstone)
  end
  hold(comp, result_bytes + weigh_records(comp), NOW + ttl)
  if state == 'cancelled' then redis.call('ZADD', P .. 'delivered', NOW, comp) end  -- as was wished
end

-- Redis at maxmemory refuses a script's writes only until its first one, and never one that frees
local function write_in_spite_of_oom() redis.call('DEL', P .. 'nothing') end

local function holds(comp, attempt)
  local now_at = redis.call('HMGET', P .. 'comp:' .. comp, 'state', 'attempt')
  return now_at[1] == 'running' and now_at[2] == attempt
end
"""

# comp, bytes, queue_size, store_bytes, hold_s, heartbeat_ttl, evict_delivered -> reason, 'ok', or 'again'
ADMIT = """
sweep()
local comp, size = ARGV[1], tonumber(ARGV[2])
if redis.call('ZSCORE', P .. 'active', comp) then return 'ok' end  -- it was admitted, only the answer was lost
if redis.call('ZCOUNT', P .. 'alive', NOW - tonumber(ARGV[6]), '+inf') == 0
    and redis.call('ZCOUNT', P .. 'returning', NOW, '+inf') == 0 then return 'no_worker' end
if redis.call('ZCARD', P .. 'active') >= tonumber(ARGV[3]) then return 'queue_full' end
local stored = tonumber(redis.call('GET', P .. 'blob_bytes') or '0')
local lacking = stored + size - tonumber(ARGV[4])
if lacking > 0 then
  local made = ARGV[7] == '1' and make_room(lacking) or 'store_full'
  if made ~= 'ok' then return made end
end
redis.call('ZADD', P .. 'active', NOW + tonumber(ARGV[5]), comp)
hold(comp, size, NOW + tonumber(ARGV[5]))
return 'ok'
"""

# comp, job, pending_ttl, tombstone, n, n field/value pairs of the computation, then those of the job -> created_at
SUBMIT = """
local comp, job, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key, n = P .. 'comp:' .. comp, tonumber(ARGV[5])
local there = redis.call('HGET', P .. 'job:' .. job, 'created_at')
if there then return there end  -- it was done, only the answer was lost
for i = 6, 5 + 2 * n, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', key, 'state', 'queued', 'attempt', 0, 'losses', 0, 'created_at', stamp(), 'sent_at', stamp())
redis.call('SADD', key .. ':jobs', job)
for i = 6 + 2 * n, #ARGV, 2 do redis.call('HSET', P .. 'job:' .. job, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', P .. 'job:' .. job, 'computation', comp, 'created_at', stamp())
local chunks = tonumber(redis.call('HGET', key, 'input_chunks'))
for i = 0, chunks - 1 do
  if redis.call('EXPIRE', P .. 'in:' .. comp .. ':' .. i, ttl) == 0 then return redis.error_reply('input expired') end
end
redis.call('ZADD', P .. 'active', FOREVER, comp)
redis.call('ZADD', P .. 'queued', NOW, comp)
hold(comp, tonumber(redis.call('HGET', P .. 'blob_sizes', comp) or '0'), FOREVER)
emit(comp, 'state', '{"state":"queued"}')
for _, k in ipairs({key, key .. ':jobs', P .. 'job:' .. job, P .. 'events:' .. job}) do redis.call('EXPIRE', k, ttl) end
redis.call('SET', P .. 'gone:' .. job, '1', 'EX', ttl + tonumber(ARGV[4]))
return stamp()
"""

# comp, job: a job that was never sent leaves no trace
WITHDRAW = """
local comp, job = ARGV[1], ARGV[2]
leave(comp)
drop_input(comp)
hold(comp, 0, 0)
for _, k in ipairs({'comp:' .. comp, 'comp:' .. comp .. ':jobs', 'job:' .. job, 'events:' .. job, 'gone:' .. job}) do
  redis.call('UNLINK', P .. k)
end
return 1
"""

# comp, owner, lease_s, timeout_s, nonce of this claim
#   -> {attempt, queue_s, the record's fields and values, its jobs} or {0, why}
CLAIM = """
local comp = ARGV[1]
local key = P .. 'comp:' .. comp
local state = redis.call('HGET', key, 'state')
if not state then return {0, 'unknown'} end
local before = redis.call('HMGET', key, 'owner', 'claim', 'attempt')
local again = state == 'running' and before[1] == ARGV[2]  -- the answer to its claim was lost
if state ~= 'queued' and not again then return {0, state} end
write_in_spite_of_oom()
local attempt = tonumber(before[3])
if not again or before[2] ~= ARGV[5] then
  attempt = redis.call('HINCRBY', key, 'attempt', 1)
  local deadline = NOW + tonumber(ARGV[4])
  redis.call('HSET', key, 'state', 'running', 'owner', ARGV[2], 'claim', ARGV[5], 'started_at', stamp(),
             'deadline', string.format('%.6f', deadline), 'done', 0, 'total', 0)
  redis.call('ZREM', P .. 'queued', comp)
  redis.call('ZADD', P .. 'running', math.min(NOW + tonumber(ARGV[3]), deadline), comp)
  emit(comp, 'state', '{"state":"running"}')
end
local queued_s = string.format('%.6f', NOW - tonumber(redis.call('HGET', key, 'created_at')))
return {attempt, queued_s, redis.call('HGETALL', key), redis.call('SMEMBERS', key .. ':jobs')}
"""

# job, detach -> {the job's fields and values, its computation's, what its tombstone says}
STATUS = """
local key = P .. 'job:' .. ARGV[1]
local comp = redis.call('HGET', key, 'computation')
if comp and ARGV[2] == '1' then
  write_in_spite_of_oom()
  redis.call('HSET', key, 'detached', '1')
end
return {
  redis.call('HGETALL', key), comp and redis.call('HGETALL', P .. 'comp:' .. comp) or {},
  redis.call('GET', P .. 'gone:' .. ARGV[1])
}
"""

# comp, attempt, lease_s -> 1 held, 2 held but cancelled, 0 lost
RENEW = """
local comp = ARGV[1]
if not holds(comp, ARGV[2]) then return 0 end
write_in_spite_of_oom()
local facts = redis.call('HMGET', P .. 'comp:' .. comp, 'deadline', 'cancel')
redis.call('ZADD', P .. 'running', math.min(NOW + tonumber(ARGV[3]), tonumber(facts[1])), comp)
return facts[2] == '1' and 2 or 1
"""

# comp, attempt, done, total -> as RENEW
PROGRESS = """
local comp = ARGV[1]
if not holds(comp, ARGV[2]) then return 0 end
local told = redis.call('HMGET', P .. 'comp:' .. comp, 'done', 'total')
if told[1] ~= ARGV[3] or told[2] ~= ARGV[4] then
  redis.call('HSET', P .. 'comp:' .. comp, 'done', ARGV[3], 'total', ARGV[4])
  emit(comp, 'progress', '{"done":' .. ARGV[3] .. ',"total":' .. ARGV[4] .. '}')
end
return redis.call('HGET', P .. 'comp:' .. comp, 'cancel') == '1' and 2 or 1
"""

# comp, attempt, state, ttl, tombstone, result_bytes, error, field/value pairs -> 1, or 0 where the attempt is stale
FINISH = """
local comp = ARGV[1]
local key = P .. 'comp:' .. comp
local before = redis.call('HMGET', key, 'state', 'attempt')
if before[1] == ARGV[3] and before[2] == ARGV[2] then return 1 end  -- it was done, only the answer was lost
if not holds(comp, ARGV[2]) then return 0 end
write_in_spite_of_oom()
local told = redis.call('HGET', key, 'done')
for i = 8, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
local tiles = redis.call('HMGET', key, 'done', 'total')
if tiles[1] ~= told then emit(comp, 'progress', '{"done":' .. tiles[1] .. ',"total":' .. tiles[2] .. '}') end
for i = 0, tonumber(redis.call('HGET', key, 'result_chunks') or '0') - 1 do
  redis.call('EXPIRE', P .. 'out:' .. comp .. ':' .. ARGV[2] .. ':' .. i, tonumber(ARGV[4]))
end
finish(comp, ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7])
return 1
"""

# comp, owner or '' (then: only when the lease has ended), ttl, tombstone, max_losses (0: no blame), error if lost,
# error if over time
#   -> {queued | failed | cancelled | kept, operation, model, error}
RECLAIM = """
local comp = ARGV[1]
local key = P .. 'comp:' .. comp
local facts = redis.call('HMGET', key, 'state', 'owner', 'deadline', 'cancel', 'operation', 'model')
if facts[1] ~= 'running' then redis.call('ZREM', P .. 'running', comp); return {'kept', '', '', ''} end
local lease = tonumber(redis.call('ZSCORE', P .. 'running', comp) or '0')
if (ARGV[2] == '' and lease > NOW) or (ARGV[2] ~= '' and ARGV[2] ~= facts[2]) then return {'kept', '', '', ''} end
write_in_spite_of_oom()
local function ended(state, error)
  finish(comp, state, tonumber(ARGV[3]), tonumber(ARGV[4]), 0, error)
  return {state, facts[5], facts[6], error}
end
if facts[4] == '1' then return ended('cancelled', '') end
if NOW >= tonumber(facts[3]) then return ended('failed', ARGV[7]) end
if tonumber(ARGV[5]) > 0 and redis.call('HINCRBY', key, 'losses', 1) >= tonumber(ARGV[5]) then
  return ended('failed', ARGV[6])
end
redis.call('HSET', key, 'state', 'queued', 'sent_at', stamp())
redis.call('HDEL', key, 'owner')
redis.call('ZREM', P .. 'running', comp)
redis.call('ZADD', P .. 'queued', tonumber(redis.call('HGET', key, 'created_at')), comp)
emit(comp, 'state', '{"state":"queued"}')
return {'queued', facts[5], facts[6], ''}
"""

# job, only_if_attached, ttl, tombstone -> {state of the job after it}, {removed} or {}
CANCEL = """
local job = ARGV[1]
local record = redis.call('HMGET', P .. 'job:' .. job, 'computation', 'detached', 'left')
local comp = record[1]
if not comp then return {} end
if ARGV[2] == '1' and record[2] == '1' then return {'detached'} end
write_in_spite_of_oom()
local key = P .. 'comp:' .. comp
local state = redis.call('HGET', key, 'state')
if not state then return {} end
if record[3] == '1' or state == 'cancelled' then return {'cancelled'} end
if state ~= 'queued' and state ~= 'running' then
  if ARGV[2] == '1' then return {state} end
  redis.call('EXPIRE', P .. 'gone:' .. job, tonumber(ARGV[4]))
  local weight, shared, wanted = weigh_job(job), false, false
  for _, other in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    shared = shared or other ~= job
    wanted = wanted or (other ~= job and redis.call('HGET', P .. 'job:' .. other, 'left') ~= '1')
  end
  if not shared then
    remove(comp, 'deleted')
    return {'removed'}
  end
  redis.call('UNLINK', P .. 'job:' .. job, P .. 'events:' .. job)
  redis.call('SET', P .. 'gone:' .. job, 'deleted', 'KEEPTTL')
  redis.call('SREM', key .. ':jobs', job)
  local held = tonumber(redis.call('HGET', P .. 'blob_sizes', comp) or '0') - weight
  if not wanted then
    drop_result(comp)
    held = weigh_records(comp)
  end
  hold(comp, math.max(0, held), tonumber(redis.call('ZSCORE', P .. 'blobs', comp) or NOW))
  note_if_all_have_it(comp)
  return {'removed'}
end
local others = 0
for _, other in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
  if other ~= job and redis.call('HGET', P .. 'job:' .. other, 'left') ~= '1' then others = others + 1 end
end
if others > 0 then
  redis.call('HSET', P .. 'job:' .. job, 'left', '1', 'left_at', stamp())
  emit_to(job, 'state', '{"state":"cancelled"}')
  emit_to(job, 'end', '{"state":"cancelled"}')
  return {'cancelled'}
end
if state == 'queued' then
  finish(comp, 'cancelled', tonumber(ARGV[3]), tonumber(ARGV[4]), 0, '')
  return {'cancelled'}
end
redis.call('HSET', key, 'cancel', '1')
return {'running'}
"""

# jobs, the first delivered first -> 1; their clients had their results whole, or their problems
NOTE_DELIVERY = """
write_in_spite_of_oom()
for _, job in ipairs(ARGV) do
  local comp = redis.call('HGET', P .. 'job:' .. job, 'computation')
  if comp then
    redis.call('HSET', P .. 'job:' .. job, 'delivered', '1')
    note_if_all_have_it(comp)
    NOW = NOW + 0.000001  -- so that they keep their order
  end
end
return 1
"""

# grace_s -> computations that are queued and were sent longer ago than that
UNSENT = """
local late = {}
for _, comp in ipairs(redis.call('ZRANGE', P .. 'queued', 0, 999)) do
  local sent = redis.call('HGET', P .. 'comp:' .. comp, 'sent_at')
  if not sent then
    leave(comp)
    hold(comp, 0, 0)
  elseif NOW - tonumber(sent) >= tonumber(ARGV[1]) then
    late[#late + 1] = comp
  end
end
sweep()
return late
"""

# comp -> 1 where it is still queued and its time of sending has been set to now
TOUCH = """
local key = P .. 'comp:' .. ARGV[1]
if redis.call('HGET', key, 'state') ~= 'queued' then return 0 end
redis.call('HSET', key, 'sent_at', stamp())
return 1
"""

# heartbeat_ttl, comp or '' -> {queued, running, active, oldest_created_at, alive, bytes, work_s, room_at, now}
# work_s: what is estimated to be left of all that runs and, up to `comp`, of all that is queued
QUEUE = """
sweep()
local function left_of(comp)
  local facts = redis.call('HMGET', P .. 'comp:' .. comp, 'estimate_s', 'done', 'total')
  local total = tonumber(facts[3] or '0') or 0
  local share = total > 0 and 1 - tonumber(facts[2]) / total or 1
  return (tonumber(facts[1] or '0') or 0) * share
end
local queued = redis.call('ZRANGE', P .. 'queued', 0, -1)
local work = 0
for _, comp in ipairs(redis.call('ZRANGE', P .. 'running', 0, -1)) do work = work + left_of(comp) end
for _, comp in ipairs(queued) do
  work = work + left_of(comp)
  if comp == ARGV[2] then break end
end
local oldest = redis.call('ZRANGE', P .. 'queued', 0, 0, 'WITHSCORES')
local room = redis.call('ZRANGE', P .. 'blobs', 0, 0, 'WITHSCORES')
return {
  #queued, redis.call('ZCARD', P .. 'running'), redis.call('ZCARD', P .. 'active'),
  oldest[2] or '', redis.call('ZCOUNT', P .. 'alive', NOW - tonumber(ARGV[1]), '+inf'),
  redis.call('GET', P .. 'blob_bytes') or '0', string.format('%.6f', work), room[2] or '', stamp()
}
"""

# heartbeat_ttl, return_s, place, loading, then child/facts pairs ('' keeps the facts that are there): these live
BEAT = """
write_in_spite_of_oom()
local ttl, place = tonumber(ARGV[1]), ARGV[3]
for i = 5, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then redis.call('HSET', P .. 'child_facts', ARGV[i], ARGV[i + 1]) end
  if redis.call('HEXISTS', P .. 'child_facts', ARGV[i]) == 1 then
    redis.call('ZADD', P .. 'alive', NOW, ARGV[i])
    redis.call('ZADD', P .. 'served', NOW, place)
  end
end
redis.call('ZREMRANGEBYSCORE', P .. 'served', '-inf', NOW - tonumber(ARGV[2]))
redis.call('ZREMRANGEBYSCORE', P .. 'returning', '-inf', NOW)
local served = redis.call('ZSCORE', P .. 'served', place)
if ARGV[4] == '1' and served then
  redis.call('ZADD', P .. 'returning', math.min(NOW + ttl, tonumber(served) + tonumber(ARGV[2])), place)
else
  redis.call('ZREM', P .. 'returning', place)
end
for _, child in ipairs(redis.call('ZRANGEBYSCORE', P .. 'alive', '-inf', NOW - 6 * ttl)) do
  redis.call('ZREM', P .. 'alive', child)
  redis.call('HDEL', P .. 'child_facts', child)
end
return 1
"""
