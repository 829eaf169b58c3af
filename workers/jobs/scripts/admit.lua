-- Takes a job in. Unless `is_fresh`, it joins an equal computation that waits, runs or has its result: that takes no
-- place in the queue and no room but `record_bytes`, and prolongs the life of the result. Else a place in the queue and
-- `bytes` are reserved for its own computation, where lane and client have so many left (a client that holds nothing is
-- refused no bytes by its share); equal requests find it from now on. A job that `has_picture` came with it: the picture
-- was written just before this, goes where it is not wanted, and the job is queued at once, with a `message` into the
-- `queue` of its lane (empty: none). `key`: its Idempotency-Key, which must be held for it.
-- After the named arguments come so many fields and values of the computation, then those of the job.
-- Answers hit or coalesced, where it has joined; miss, where it is queued; reserved, where that is left to be done;
-- admitted, where the input of an equal one is on its way; no_worker, queue_full, lane_full, share_of_queue,
-- share_of_store, store_full or key_lost, and then nothing has changed; or again, where room is made in several steps.
local job, comp, equal, is_fresh, key = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5]
local client, client_places, client_bytes = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local lane, lane_places, queue_size = ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11])
local bytes, record_bytes, store_bytes = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local evict_delivered, heartbeat_ttl_s, hold_s = ARGV[15] == '1', tonumber(ARGV[16]), tonumber(ARGV[17])
local pending_ttl_s, result_ttl_s, tombstone_s = tonumber(ARGV[18]), tonumber(ARGV[19]), tonumber(ARGV[20])
local has_picture, queue, message, first_field = ARGV[21] == '1', ARGV[22], ARGV[23], 25
local job_fields = first_field + 2 * tonumber(ARGV[24])
local input = P .. 'in:' .. comp .. ':0'

-- By how many bytes the store, and the client's share of it where that holds anything, would be too small.
local function lacking_in_store(wanted)
  return tonumber(redis.call('GET', P .. 'blob_bytes') or '0') + wanted - store_bytes
end

local function lacking_in_share(wanted)
  local held = client_bytes < store_bytes and bytes_held(client) or 0
  return held > 0 and held + wanted - client_bytes or 0
end

-- Why there is no room for so many bytes; nothing where there is, or where it was made. What has expired is swept first
-- where there is not: the reaper does so all the time.
local function lack_of_room(wanted)
  if lacking_in_store(wanted) <= 0 and lacking_in_share(wanted) <= 0 then return end
  sweep()
  local over = lacking_in_share(wanted)
  if over > 0 then
    local answer = make_room(over, evict_delivered, client)
    if answer ~= 'ok' then return answer == 'again' and answer or 'share_of_store' end
  end
  local lacking = lacking_in_store(wanted)
  if lacking <= 0 then return end
  local answer = make_room(lacking, evict_delivered)
  if answer ~= 'ok' then return answer end
end

local function join_pending(twin, state)
  local written = write_job(job, twin, 'coalesced', job_fields, pending_ttl_s)
  note_to(job, 'state', '{"state":"' .. state .. '"}')
  local tiles = redis.call('HMGET', P .. 'comp:' .. twin, 'done', 'total')
  if state == 'running' and tonumber(tiles[2] or '0') > 0 then
    note_to(job, 'progress', '{"done":' .. tiles[1] .. ',"total":' .. tiles[2] .. '}')
  end
  keep_job(written, pending_ttl_s, tombstone_s)
  reserve(twin, reserved_bytes(twin) + record_bytes, FOREVER)
  return 'coalesced'
end

local function prolong(name) if redis.call('TTL', name) < result_ttl_s then redis.call('EXPIRE', name, result_ttl_s) end end

local function join_ended(twin)
  local record = P .. 'comp:' .. twin
  local before = memory_of(record .. ':jobs')
  local written = write_job(job, twin, 'hit', job_fields, result_ttl_s)
  note_to(job, 'state', '{"state":"succeeded"}')
  note_to(job, 'end', '{"state":"succeeded"}')
  keep_job(written, result_ttl_s, tombstone_life(tombstone_s))
  local facts = redis.call('HMGET', record, 'result_attempt', 'result_chunks', 'input', 'output')
  count_usage({written}, facts[3], facts[4])
  for i = 0, tonumber(facts[2]) - 1 do prolong(P .. 'out:' .. twin .. ':' .. facts[1] .. ':' .. i) end
  prolong(record)
  prolong(record .. ':jobs')
  prolong(P .. 'equal:' .. equal)
  local until_time = math.max(NOW + result_ttl_s, tonumber(redis.call('ZSCORE', P .. 'blobs', twin) or '0'))
  reserve(twin, reserved_bytes(twin) + memory_of_job(job) + memory_of(record .. ':jobs') - before, until_time)
  return 'hit'
end

local function join(twin, state)
  redis.call('ZREM', P .. 'delivered', twin)  -- this job has not had it yet
  local why = lack_of_room(record_bytes)
  if why then
    mark_if_delivered(twin)
    return why
  end
  if state == 'succeeded' then return join_ended(twin) end
  return join_pending(twin, state)
end

local function lack_of_a_place()
  if redis.call('ZCOUNT', P .. 'alive', NOW - heartbeat_ttl_s, '+inf') == 0
      and redis.call('ZCOUNT', P .. 'returning', NOW, '+inf') == 0 then return 'no_worker' end
  local taken = places_taken('active')
  if taken >= queue_size then return 'queue_full' end
  if taken < math.min(lane_places, client_places) then return end  -- nobody and no lane has more of them than all
  if places_taken('active:' .. lane) >= lane_places then return 'lane_full' end
  if places_taken('held:' .. client) >= client_places then return 'share_of_queue' end
end

-- Not its own computation: its picture goes.
local function without_it(answer)
  if has_picture then redis.call('UNLINK', input) end
  return answer
end

local is_full = is_memory_full()
local cache = redis.call('HGET', P .. 'job:' .. job, 'cache')
if cache then return cache end  -- it was done, only the answer was lost
if not has_picture and redis.call('ZSCORE', P .. 'active', comp) then return 'reserved' end  -- and so was this
if key ~= '' and redis.call('HGET', P .. 'key:' .. key, 'job') ~= job then return without_it('key_lost') end
local twin, state
if not is_fresh then twin, state = find_equal(equal) end
if state == 'admitted' then return without_it('admitted') end
if twin then return without_it(join(twin, state)) end

local why = lack_of_a_place() or lack_of_room(bytes) or (is_full and 'store_full')
if why then return without_it(why) end
if has_picture and redis.call('EXPIRE', input, pending_ttl_s) == 0 then return 'store_full' end
local until_time = has_picture and FOREVER or NOW + hold_s
redis.call('ZADD', P .. 'active', until_time, comp)
take_place(comp, lane, client, until_time)
reserve(comp, bytes, until_time, 0)
redis.call('SET', P .. 'equal:' .. equal, comp, 'EX', has_picture and pending_ttl_s or hold_s)
if not has_picture then return 'reserved' end
queue_up(comp, job, first_field, job_fields, pending_ttl_s, tombstone_s)
send(queue, message)
return 'miss'
