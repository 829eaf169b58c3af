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
