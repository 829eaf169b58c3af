-- What several scripts do alike.
local KEY_S = 24 * 3600  -- how long an Idempotency-Key is kept at least
local USAGE_S = 36 * 24 * 3600  -- how long a day's count of a client's jobs is kept, from its first on
local MOST_JOBS = 1000  -- of one computation: each event is written for every one of them

-- An event in the stream of one job.
local function note_to(job, kind, data)
  redis.call('XADD', P .. 'events:' .. job, 'MAXLEN', 512, '*', 'kind', kind, 'data', data)
end

-- The same, and a wake-up for whoever waits for it, with more words about it where there are any.
local function emit_to(job, kind, data, words)
  note_to(job, kind, data)
  redis.call('PUBLISH', P .. 'wake', job .. ' ' .. kind .. (words or ''))
end

-- What the record of a job says, for whoever writes events and keeps it.
local function read_job(job)
  local fields = {'left', 'client', 'created_at', 'idempotency_key', 'fingerprint', 'detached'}
  local record = redis.call('HMGET', P .. 'job:' .. job, unpack(fields))
  return {
    id = job, has_left = record[1] == '1', client = record[2] or '', created_at = record[3],
    idempotency_key = record[4] or '', fingerprint = record[5], is_read_by_id = record[6] == '1'
  }
end

-- Every job of a computation, as `read_job`.
local function jobs_of(comp)
  local jobs = redis.call('SMEMBERS', P .. 'comp:' .. comp .. ':jobs')
  for i, job in ipairs(jobs) do jobs[i] = read_job(job) end
  return jobs
end

-- An event for those of these jobs that did not leave their computation. Who waits for more than the end of a job has
-- read it by its id before; where nobody has, the event wakes nobody.
local function emit(jobs, kind, data, words)
  for _, job in ipairs(jobs) do
    local is_awaited = kind == 'end' or job.is_read_by_id
    if not job.has_left then (is_awaited and emit_to or note_to)(job.id, kind, data, words) end
  end
end

-- For events that another one follows at once, or that nobody waits for.
local function note(jobs, kind, data)
  for _, job in ipairs(jobs) do
    if not job.has_left then note_to(job.id, kind, data) end
  end
end

-- Removes what is kept of a result that is not finished. Answers how many bytes that was.
local function drop_checkpoint(comp)
  local bytes = tonumber(redis.call('HGET', P .. 'checkpoints', comp) or '0')
  if bytes == 0 then return 0 end
  redis.call('UNLINK', P .. 'checkpoint:' .. comp)
  redis.call('HDEL', P .. 'checkpoints', comp)
  return bytes
end

local function reserved_bytes(comp) return tonumber(redis.call('HGET', P .. 'blob_sizes', comp) or '0') end

-- From now on the computation counts for so many bytes, until that time; 0: for none. `before`: for how many so far,
-- where that is known.
local function reserve(comp, bytes, until_time, before)
  local more = bytes - (before or reserved_bytes(comp))
  if more ~= 0 then
    redis.call('INCRBY', P .. 'blob_bytes', more)
    charge_bytes(comp, more)
  end
  if bytes > 0 then
    redis.call('HSET', P .. 'blob_sizes', comp, bytes)
    redis.call('ZADD', P .. 'blobs', until_time, comp)
  else
    redis.call('HDEL', P .. 'blob_sizes', comp)
    redis.call('ZREM', P .. 'blobs', comp)
    redis.call('ZREM', P .. 'delivered', comp)
    drop_checkpoint(comp)
    forget_holder(comp)
  end
end


-- Whose a job is or was; empty where nobody knows.
local function client_of(job)
  local client = redis.call('HGET', P .. 'job:' .. job, 'client')
  return client or string.match(redis.call('GET', P .. 'gone:' .. job) or '', ' (.*)') or ''
end

-- For how long a tombstone stays behind a job that has ended: shorter where there are many, a minute from twice as many
-- on, so that they have a bound, too. Of those that have not the queue's places are the bound.
local MANY_TOMBSTONES = 1000000  -- of 130 to 190 bytes each
local KEYS_OF_A_JOB = 7  -- while its computation is there: two records, jobs, events, tombstone, equal, a piece
local function tombstone_life(tombstone_s)
  local keys = redis.call('DBSIZE')
  if keys <= MANY_TOMBSTONES then return tombstone_s end
  local tombstones = keys - KEYS_OF_A_JOB * redis.call('ZCARD', P .. 'blobs')
  return math.max(60, math.floor(tombstone_s * math.min(1, 2 - tombstones / MANY_TOMBSTONES)))
end

-- The job is in its client's list no more.
local function unlist(client, job)
  redis.call('ZREM', P .. 'jobs_of:' .. client, job)
  redis.call('ZREM', P .. 'listed', job .. ' ' .. client)
end

-- Free the places, bytes and entries of lists whose time is over.
local function sweep()
  redis.call('ZREMRANGEBYSCORE', P .. 'active', '-inf', NOW)  -- first: never refused, see allow_writes_when_full
  local expired = redis.call('ZRANGEBYSCORE', P .. 'blobs', '-inf', NOW, 'LIMIT', 0, BATCH)
  for _, comp in ipairs(expired) do reserve(comp, 0, 0) end
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', P .. 'listed', '-inf', NOW, 'LIMIT', 0, BATCH)) do
    local job, client = entry:match('^(%S+) (.*)$')
    unlist(client, job)
  end
end

-- Fields and values in turn, out of ARGV, as a table.
local function given(first_field, last_value)
  local fields = {}
  for i = first_field, last_value, 2 do fields[ARGV[i]] = ARGV[i + 1] end
  return fields
end

local function in_seconds(seconds) return string.format('%.6f', NOW + seconds) end

-- A job with what its request brought along, in the list of its client; `keep_job` is to follow, with the same time.
-- Answers as `read_job`.
local function write_job(job, comp, cache, first_field, ttl_s)
  local fields = given(first_field, #ARGV)
  local client, expires_at = fields.client or '', in_seconds(ttl_s)
  redis.call('HSET', P .. 'job:' .. job, 'computation', comp, 'created_at', STAMP, 'cache', cache,
             'expires_at', expires_at, unpack(ARGV, first_field))
  redis.call('SADD', P .. 'comp:' .. comp .. ':jobs', job)
  if client ~= '' then redis.call('ZADD', P .. 'jobs_of:' .. client, NOW, job) end
  return {
    id = job, has_left = false, client = client, created_at = STAMP, expires_at = expires_at,
    idempotency_key = fields.idempotency_key or '', fingerprint = fields.fingerprint
  }
end

-- From now on the job and its events stay for so long, its Idempotency-Key for KEY_S at least, its tombstone for
-- `tombstone_s` longer, which says why it is gone and, after a space, whose it was.
local function keep_job(job, ttl_s, tombstone_s)
  local key, client, name, expires_at = P .. 'job:' .. job.id, job.client, job.idempotency_key, in_seconds(ttl_s)
  if redis.call('EXPIRE', key, ttl_s) == 0 then return end
  if job.expires_at ~= expires_at then redis.call('HSET', key, 'expires_at', expires_at) end
  redis.call('EXPIRE', P .. 'events:' .. job.id, ttl_s)
  redis.call('SET', P .. 'gone:' .. job.id, '1 ' .. client, 'EX', ttl_s + tombstone_s)
  if client ~= '' then redis.call('ZADD', P .. 'listed', NOW + ttl_s, job.id .. ' ' .. client) end
  if name == '' then return end
  local holder = redis.call('HGET', P .. 'key:' .. name, 'job')
  if holder and holder ~= job.id then return end
  redis.call('HSET', P .. 'key:' .. name, 'job', job.id, 'fingerprint', job.fingerprint)
  local key_s = math.max(ttl_s, math.ceil(KEY_S - (NOW - tonumber(job.created_at))))
  redis.call('EXPIRE', P .. 'key:' .. name, key_s)
end

-- Nothing of the job stays but its tombstone, which says why.
local function drop_job(job, why)
  local client = redis.call('HGET', P .. 'job:' .. job, 'client') or ''
  if client ~= '' then unlist(client, job) end
  redis.call('SET', P .. 'gone:' .. job, why .. ' ' .. client, 'KEEPTTL')
  redis.call('UNLINK', P .. 'job:' .. job, P .. 'events:' .. job)
end

-- Whether a job is there and was not cancelled; and whether its client has what it asked for.
local function is_wanted_by(job)
  local record = redis.call('HMGET', P .. 'job:' .. job, 'computation', 'left', 'delivered')
  return record[1] and record[2] ~= '1', record[3] == '1'
end

-- Counts jobs of a computation that succeeded for their clients, with the pixels of the picture that came in and of the
-- one that goes out, by `input` and `output` of its record; not those that were cancelled.
local function count_usage(jobs, input, output)
  local function decoded(text) return text and cjson.decode(text) or {} end
  input, output = decoded(input), decoded(output)
  local counts = {}
  for _, job in ipairs(jobs) do
    if job.client ~= '' and not job.has_left then counts[job.client] = (counts[job.client] or 0) + 1 end
  end
  for client, count in pairs(counts) do
    local key = P .. 'usage:' .. client .. ':' .. math.floor(NOW / 86400)
    if redis.call('HINCRBY', key, 'jobs', count) == count then redis.call('EXPIRE', key, USAGE_S) end
    redis.call('HINCRBY', key, 'pixels_in', string.format('%.0f', count * (input.width or 0) * (input.height or 0)))
    redis.call('HINCRBY', key, 'pixels_out', string.format('%.0f', count * (output.pixels or 0)))
  end
end

-- Bytes of Redis' memory that these keys take.
local function memory_of(...)
  local bytes = 0
  for _, key in ipairs({...}) do bytes = bytes + (redis.call('MEMORY', 'USAGE', key) or 0) end
  return bytes
end

local function memory_of_job(job) return memory_of(P .. 'job:' .. job, P .. 'events:' .. job, P .. 'gone:' .. job) end

-- Records and events of a computation and its jobs: what it takes beside its pictures.
local function memory_of_records(comp, jobs)
  local key = P .. 'comp:' .. comp
  local bytes = memory_of(key, key .. ':jobs')
  for _, job in ipairs(jobs) do bytes = bytes + memory_of_job(job.id) end
  return bytes
end

-- Jobs that have expired are their computation's no longer; a result that answers on and on counts for the records of
-- those alone that have it.
local function forget_expired_jobs(comp)
  local key, forgotten = P .. 'comp:' .. comp, 0
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    if redis.call('EXISTS', P .. 'job:' .. job) == 0 then
      forgotten = forgotten + redis.call('SREM', key .. ':jobs', job)
    end
  end
  local record = redis.call('HMGET', key, 'state', 'output')
  local until_time = redis.call('ZSCORE', P .. 'blobs', comp)
  if forgotten == 0 or record[1] ~= 'succeeded' or not until_time then return end
  reserve(comp, cjson.decode(record[2]).bytes + memory_of_records(comp, jobs_of(comp)), tonumber(until_time))
end

local function has_room_for_a_job(comp)
  forget_expired_jobs(comp)
  return redis.call('SCARD', P .. 'comp:' .. comp .. ':jobs') < MOST_JOBS
end

local function has_result(comp)
  local result = redis.call('HMGET', P .. 'comp:' .. comp, 'result_attempt', 'result_chunks')
  for i = 0, tonumber(result[2] or '0') - 1 do
    if redis.call('EXISTS', P .. 'out:' .. comp .. ':' .. result[1] .. ':' .. i) == 0 then return false end
  end
  return result[2] ~= false
end

-- The computation that an equal request joins, and its state, which is `admitted` while its input is on its way.
-- Nothing where there is none: it failed, was cancelled, expired, or serves as many jobs as one may.
local function find_equal(equal)
  local comp = redis.call('GET', P .. 'equal:' .. equal)
  if not comp then return end
  local record = redis.call('HMGET', P .. 'comp:' .. comp, 'state', 'cancel')
  local state = record[1]
  if not state then
    if tonumber(redis.call('ZSCORE', P .. 'active', comp) or '0') > NOW then return comp, 'admitted' end
    return
  end
  if state == 'failed' or state == 'cancelled' or record[2] == '1' then return end
  if state == 'succeeded' and not has_result(comp) then return end
  if has_room_for_a_job(comp) then return comp, state end
end

-- The name under which equal requests find it, if they do.
local function equal_of(comp) return redis.call('HGET', P .. 'comp:' .. comp, 'equal') end

-- For how long equal requests find this computation under its name from now on; 0: no longer.
local function answer_equals(comp, equal, ttl_s)
  if not equal or redis.call('GET', P .. 'equal:' .. equal) ~= comp then return end
  redis.call('EXPIRE', P .. 'equal:' .. equal, ttl_s)
end

-- Those that waited for its input ask again.
local function wake_equals(equal)
  if equal then redis.call('PUBLISH', P .. 'wake', equal .. ' end') end
end

local function drop_input(comp, chunks)
  for i = 0, tonumber(chunks or '0') - 1 do redis.call('UNLINK', P .. 'in:' .. comp .. ':' .. i) end
end

-- Removes the result, and what attempts that were lost have written of theirs; of `kept`, an attempt's number, nothing.
local function drop_results(comp, attempts, kept)
  for attempt = 1, tonumber(attempts or '0') do
    local chunk = 0
    while attempt ~= kept and redis.call('UNLINK', P .. 'out:' .. comp .. ':' .. attempt .. ':' .. chunk) == 1 do
      chunk = chunk + 1
    end
  end
end

-- Out of the queue, where it is running or (any other state) may wait.
local function leave_queue(comp, state)
  if state ~= 'running' then
    redis.call('ZREM', P .. 'queued', comp)
    leave_line(comp)
  end
  redis.call('ZREM', P .. 'running', comp)
  redis.call('ZREM', P .. 'active', comp)
  free_place(comp)
end

local function drop_result(comp) drop_results(comp, redis.call('HGET', P .. 'comp:' .. comp, 'attempt')) end

-- Nothing of the computation stays but the tombstones of its jobs, which say why.
local function remove(comp, why)
  local key = P .. 'comp:' .. comp
  drop_result(comp)
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do drop_job(job, why) end
  answer_equals(comp, equal_of(comp), 0)
  redis.call('UNLINK', key, key .. ':jobs')
  reserve(comp, 0, 0)
end

-- Where every job that still wants the result (or the problem) has it: the computation may go where room is needed.
local function mark_if_delivered(comp)
  local key = P .. 'comp:' .. comp
  local state = redis.call('HGET', key, 'state')
  if state ~= 'succeeded' and state ~= 'failed' then return end
  for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
    local is_wanted, is_delivered = is_wanted_by(job)
    if is_wanted and not is_delivered then return end
  end
  if redis.call('ZSCORE', P .. 'blobs', comp) then redis.call('ZADD', P .. 'delivered', 'NX', NOW, comp) end
end

-- Gives up what is kept of results that are not finished, until so many bytes are free: it can be computed again.
-- With `client` only of what that client holds. Answers how many are.
local function free_checkpoints(bytes, client)
  local freed = 0
  for _, comp in ipairs(redis.call('HKEYS', P .. 'checkpoints')) do
    if freed < bytes and (not client or is_held_for(client, comp)) then
      local dropped = drop_checkpoint(comp)
      reserve(comp, reserved_bytes(comp) - dropped, FOREVER)
      freed = freed + dropped
    end
  end
  return freed
end

-- Give up checkpoints, then remove what was delivered, the oldest delivery first, until so many bytes are free; none of the
-- latter where all is not enough, or they may not be removed. With `client` only of what that client holds.
-- Answers ok, store_full, or again where there is more to remove than one script may.
local function make_room(bytes, evict_delivered, client)
  local freed, evicted, first = free_checkpoints(bytes, client), {}, 0
  if freed < bytes and not evict_delivered then return 'store_full' end
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

-- What `finish` is to know of a computation.
local function read_to_finish(comp)
  local fields = {'state', 'attempt', 'done', 'input_chunks', 'equal', 'input'}
  local values, record = redis.call('HMGET', P .. 'comp:' .. comp, unpack(fields)), {}
  for i, name in ipairs(fields) do record[name] = values[i] end
  return record
end

-- The one way into a terminal state, for its `jobs`, by the `record` as `read_to_finish` tells, with `result_attempt` and
-- `output` where there is a result; result_bytes is 0 where there is none, error is empty where there is none. Fields and
-- values to be written along with it stand in ARGV from the one to the other place, if they are given.
-- The wake-up of a success tells where the result lies (`ResultKey`).
local function finish(comp, record, jobs, state, result_ttl_s, tombstone_s, result_bytes, error, first_field, last_value)
  local key = P .. 'comp:' .. comp
  redis.call('HSET', key, 'state', state, 'finished_at', STAMP, unpack(ARGV, first_field or 1, last_value or 0))
  if error ~= '' then redis.call('HSET', key, 'error', error) end
  leave_queue(comp, record.state)
  drop_input(comp, record.input_chunks)
  drop_results(comp, record.attempt, tonumber(record.result_attempt or '0'))
  drop_checkpoint(comp)
  answer_equals(comp, record.equal, state == 'succeeded' and result_ttl_s or 0)
  redis.call('EXPIRE', key, result_ttl_s)
  redis.call('EXPIRE', key .. ':jobs', result_ttl_s)
  note(jobs, 'state', '{"state":"' .. state .. '"}')
  local result = state == 'succeeded' and string.format(' %s %s %d', comp, record.attempt, result_bytes) or ''
  emit(jobs, 'end', '{"state":"' .. state .. '"}', result)
  local life_s = tombstone_life(tombstone_s)
  for _, job in ipairs(jobs) do keep_job(job, result_ttl_s, life_s) end
  if state == 'succeeded' then count_usage(jobs, record.input, record.output) end
  reserve(comp, result_bytes + memory_of_records(comp, jobs), NOW + result_ttl_s)
  if state == 'cancelled' then redis.call('ZADD', P .. 'delivered', NOW, comp) end  -- nobody waits for it
end

-- Redis at maxmemory refuses a script's writes only until its first one, and never one that frees.
local function allow_writes_when_full() redis.call('DEL', P .. 'nothing') end

-- Whether it is there; to be asked before a script's first write. What is asked of it here changes nothing.
local function is_memory_full() return type(redis.pcall('SETRANGE', P .. 'nothing', 0, '')) == 'table' end

-- Writes the records of a computation, which has its input and its place for good, and of its job, out of ARGV from
-- these places on, and lines it up.
local function queue_up(comp, job, first_field, job_fields, pending_ttl_s, tombstone_s)
  local key = P .. 'comp:' .. comp
  redis.call('HSET', key, 'state', 'queued', 'attempt', 0, 'losses', 0, 'created_at', STAMP, 'sent_at', STAMP,
             unpack(ARGV, first_field, job_fields - 1))
  local record = write_job(job, comp, 'miss', job_fields, pending_ttl_s)
  redis.call('EXPIRE', key, pending_ttl_s)
  redis.call('EXPIRE', key .. ':jobs', pending_ttl_s)
  redis.call('ZADD', P .. 'queued', NOW, comp)
  join_line(comp, NOW)
  note_to(job, 'state', '{"state":"queued"}')
  keep_job(record, pending_ttl_s, tombstone_s)
end

-- What a worker had waits again. Answers when it was created, for its place in a line.
local function queue_again(comp)
  local key = P .. 'comp:' .. comp
  redis.call('HSET', key, 'state', 'queued', 'sent_at', STAMP)
  redis.call('HDEL', key, 'owner')
  redis.call('ZREM', P .. 'running', comp)
  local created_at = tonumber(redis.call('HGET', key, 'created_at'))
  redis.call('ZADD', P .. 'queued', created_at, comp)
  emit(jobs_of(comp), 'state', '{"state":"queued"}')
  return created_at
end

-- A message into a queue of Celery's; empty: none.
local function send(queue, message) if message ~= '' then redis.call('LPUSH', queue, message) end end

-- Fencing: whether this attempt still has the computation.
local function is_held_by(comp, attempt)
  local record = redis.call('HMGET', P .. 'comp:' .. comp, 'state', 'attempt')
  return record[1] == 'running' and record[2] == attempt
end
