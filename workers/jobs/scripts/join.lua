-- Takes a job in that needs no computation of its own: an equal one waits, runs or has its result. It takes no place in
-- the queue and no room but its record's, and prolongs the life of the result. `key`: its Idempotency-Key, which must be
-- held for it. After the named arguments come fields and values of the job.
-- Answers hit, coalesced, or miss where there is none (or where `is_fresh`: none is wanted); admitted, where its input is
-- still on its way; key_lost; store_full; share_of_store; or again, where room is made in more than one step.
local job, equal, is_fresh, key, pending_ttl_s, result_ttl_s, tombstone_s =
  ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local bytes, store_bytes, evict_delivered = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10] == '1'
local client, client_bytes, first_field = ARGV[11], tonumber(ARGV[12]), 13
sweep()
local cache = redis.call('HGET', P .. 'job:' .. job, 'cache')
if cache then return cache end  -- it was done, only the answer was lost
if key ~= '' and redis.call('HGET', P .. 'key:' .. key, 'job') ~= job then return 'key_lost' end
local comp, state
if not is_fresh then comp, state = find_equal(equal) end
if not comp then return 'miss' end
if state == 'admitted' then return 'admitted' end

redis.call('ZREM', P .. 'delivered', comp)  -- this job has not had it yet
local function refusal()
  local over = bytes_held(client) + bytes - client_bytes
  if over > 0 then
    local answer = make_room(over, evict_delivered, client)
    if answer ~= 'ok' then return answer == 'again' and answer or 'share_of_store' end
  end
  local lacking = tonumber(redis.call('GET', P .. 'blob_bytes') or '0') + bytes - store_bytes
  if lacking <= 0 then return end
  local answer = make_room(lacking, evict_delivered)
  if answer ~= 'ok' then return answer end
end
local why = refusal()
if why then
  mark_if_delivered(comp)
  return why
end

local record = P .. 'comp:' .. comp
if state ~= 'succeeded' then
  write_job(job, comp, 'coalesced', first_field)
  emit_to(job, 'state', '{"state":"' .. state .. '"}')
  local tiles = redis.call('HMGET', record, 'done', 'total')
  if state == 'running' and tonumber(tiles[2] or '0') > 0 then
    emit_to(job, 'progress', '{"done":' .. tiles[1] .. ',"total":' .. tiles[2] .. '}')
  end
  keep_job(job, pending_ttl_s, tombstone_s)
  reserve(comp, reserved_bytes(comp) + bytes, FOREVER)
  return 'coalesced'
end

local function prolong(name) if redis.call('TTL', name) < result_ttl_s then redis.call('EXPIRE', name, result_ttl_s) end end
local before = memory_of(record .. ':jobs')
write_job(job, comp, 'hit', first_field)
emit_to(job, 'state', '{"state":"succeeded"}')
emit_to(job, 'end', '{"state":"succeeded"}')
keep_job(job, result_ttl_s, tombstone_s)
count_usage(comp, {job})
local result = redis.call('HMGET', record, 'result_attempt', 'result_chunks')
for i = 0, tonumber(result[2]) - 1 do prolong(P .. 'out:' .. comp .. ':' .. result[1] .. ':' .. i) end
prolong(record)
prolong(record .. ':jobs')
prolong(P .. 'equal:' .. equal)
local until_time = math.max(NOW + result_ttl_s, tonumber(redis.call('ZSCORE', P .. 'blobs', comp) or '0'))
reserve(comp, reserved_bytes(comp) + memory_of_job(job) + memory_of(record .. ':jobs') - before, until_time)
return 'hit'
