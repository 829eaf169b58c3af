-- What several scripts do alike.

-- An event in the stream of one job, and a wake-up for whoever waits for it.
local function emit_to(job, kind, data)
  redis.call('XADD', P .. 'events:' .. job, 'MAXLEN', 512, '*', 'kind', kind, 'data', data)
  redis.call('PUBLISH', P .. 'wake', job .. ' ' .. kind)
end

-- The same for every job of a computation but those that left it.
local function emit(comp, kind, data)
  for _, job in ipairs(redis.call('SMEMBERS', P .. 'comp:' .. comp .. ':jobs')) do
    if redis.call('HGET', P .. 'job:' .. job, 'left') ~= '1' then emit_to(job, kind, data) end
  end
end

local function reserved_bytes(comp) return tonumber(redis.call('HGET', P .. 'blob_sizes', comp) or '0') end

-- From now on the computation counts for so many bytes, until that time; 0: for none.
local function reserve(comp, bytes, until_time)
  redis.call('INCRBY', P .. 'blob_bytes', bytes - reserved_bytes(comp))
  charge_bytes(comp, bytes - reserved_bytes(comp))
  if bytes > 0 then
    redis.call('HSET', P .. 'blob_sizes', comp, bytes)
    redis.call('ZADD', P .. 'blobs', until_time, comp)
  else
    redis.call('HDEL', P .. 'blob_sizes', comp)
    redis.call('ZREM', P .. 'blobs', comp)
    redis.call('ZREM', P .. 'delivered', comp)
    forget_holder(comp)
  end
end

-- Free the places and bytes whose time is over.
local function sweep()
  redis.call('ZREMRANGEBYSCORE', P .. 'active', '-inf', NOW)  -- first: never refused, see allow_writes_when_full
  local expired = redis.call('ZRANGEBYSCORE', P .. 'blobs', '-inf', NOW, 'LIMIT', 0, BATCH)
  for _, comp in ipairs(expired) do reserve(comp, 0, 0) end
end

local function drop_input(comp)
  local chunks = tonumber(redis.call('HGET', P .. 'comp:' .. comp, 'input_chunks') or '0')
  for i = 0, chunks - 1 do redis.call('UNLINK', P .. 'in:' .. comp .. ':' .. i) end
end

local function drop_result(comp)
  local result = redis.call('HMGET', P .. 'comp:' .. comp, 'result_attempt', 'result_chunks')
  for i = 0, tonumber(result[2] or '0') - 1 do
    redis.call('UNLINK', P .. 'out:' .. comp .. ':' .. result[1] .. ':' .. i)
  end
end

local function leave_queue(comp)
  redis.call('ZREM', P .. 'queued', comp)
  redis.call('ZREM', P .. 'running', comp)
  redis.call('ZREM', P .. 'active', comp)
  leave_line(comp)
  free_place(comp)
end

-- Bytes of Redis' memory that these keys take.
local function memory_of(...)
  local bytes = 0
  for _, key in ipairs({...}) do bytes = bytes + (redis.call('MEMORY', 'USAGE', key) or 0) end
  return bytes
end

local function memory_of_job(job) return memory_of(P .. 'job:' .. job, P .. 'events:' .. job, P .. 'gone:' .. job) end

-- Records and events of a computation and its jobs: what it takes beside its pictures.
local function memory_of_records(comp)
  local key = P .. 'comp:' .. comp
  local bytes = memory_of(key, key .. ':jobs')
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do bytes = bytes + memory_of_job(job) end
  return bytes
end

-- Nothing of the computation stays but the tombstones of its jobs, which say why.
local function remove(comp, why)
  local key = P .. 'comp:' .. comp
  drop_result(comp)
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    redis.call('UNLINK', P .. 'job:' .. job, P .. 'events:' .. job)
    redis.call('SET', P .. 'gone:' .. job, why, 'KEEPTTL')
  end
  redis.call('UNLINK', key, key .. ':jobs')
  reserve(comp, 0, 0)
end

-- Where every job that still wants the result (or the problem) has it: the computation may go where room is needed.
local function mark_if_delivered(comp)
  local key = P .. 'comp:' .. comp
  local state = redis.call('HGET', key, 'state')
  if state ~= 'succeeded' and state ~= 'failed' then return end
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    local marks = redis.call('HMGET', P .. 'job:' .. job, 'left', 'delivered')
    if marks[1] ~= '1' and marks[2] ~= '1' then return end
  end
  if redis.call('ZSCORE', P .. 'blobs', comp) then redis.call('ZADD', P .. 'delivered', 'NX', NOW, comp) end
end

-- Remove what was delivered, the oldest delivery first, until so many bytes are free; none where all is not enough.
-- With `client` only of what that client holds.
-- Answers ok, store_full, or again where there is more to remove than one script may.
local function make_room(bytes, client)
  local freed, evicted, first = 0, {}, 0
  while freed < bytes do
    local candidates = redis.call('ZRANGE', P .. 'delivered', first, first + 99)
    if #candidates == 0 then return 'store_full' end
    for i, size in ipairs(redis.call('HMGET', P .. 'blob_sizes', unpack(candidates))) do
      if freed >= bytes then break end
      if not client or is_held_for(client, candidates[i]) then
        freed = freed + tonumber(size or '0')
        evicted[#evicted + 1] = candidates[i]
      end
    end
    first = first + 100
  end
  for i = 1, math.min(#evicted, BATCH) do
    local succeeded = redis.call('HGET', P .. 'comp:' .. evicted[i], 'state') == 'succeeded'
    remove(evicted[i], succeeded and 'delivered' or 'told')
  end
  return #evicted <= BATCH and 'ok' or 'again'
end

-- The one way into a terminal state; result_bytes is 0 where there is no result, error is empty where there is none.
local function finish(comp, state, result_ttl_s, tombstone_s, result_bytes, error)
  local key = P .. 'comp:' .. comp
  redis.call('HSET', key, 'state', state, 'finished_at', stamp())
  if error ~= '' then redis.call('HSET', key, 'error', error) end
  leave_queue(comp)
  drop_input(comp)
  redis.call('EXPIRE', key, result_ttl_s)
  redis.call('EXPIRE', key .. ':jobs', result_ttl_s)
  emit(comp, 'state', '{"state":"' .. state .. '"}')
  emit(comp, 'end', '{"state":"' .. state .. '"}')
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    redis.call('EXPIRE', P .. 'job:' .. job, result_ttl_s)
    redis.call('EXPIRE', P .. 'events:' .. job, result_ttl_s)
    redis.call('SET', P .. 'gone:' .. job, '1', 'EX', result_ttl_s + tombstone_s)
  end
  reserve(comp, result_bytes + memory_of_records(comp), NOW + result_ttl_s)
  if state == 'cancelled' then redis.call('ZADD', P .. 'delivered', NOW, comp) end  -- nobody waits for it
end

-- Redis at maxmemory refuses a script's writes only until its first one, and never one that frees.
local function allow_writes_when_full() redis.call('DEL', P .. 'nothing') end

-- Fencing: whether this attempt still has the computation.
local function is_held_by(comp, attempt)
  local record = redis.call('HMGET', P .. 'comp:' .. comp, 'state', 'attempt')
  return record[1] == 'running' and record[2] == attempt
end
