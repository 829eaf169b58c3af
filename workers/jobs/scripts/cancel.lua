-- Cancels a job: one that waits ends, one that runs is to stop, one that has ended is removed. With
-- `only_if_attached` (its client has left) nothing is removed, and a detached job stays.
-- Answers {the job's state after it}, {detached}, {left} where others keep the computation, {removed}, or {} for a job
-- that is not there.
local job, only_if_attached, result_ttl_s, tombstone_s = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), tonumber(ARGV[4])
local record = redis.call('HMGET', P .. 'job:' .. job, 'computation', 'detached', 'left')
local comp, is_detached, has_left = record[1], record[2] == '1', record[3] == '1'
if not comp then return {} end
if only_if_attached and is_detached then return {'detached'} end
allow_writes_when_full()
local key = P .. 'comp:' .. comp
local state = redis.call('HGET', key, 'state')
if not state then return {} end
if has_left then return {'left'} end
if state == 'cancelled' then return {'cancelled'} end

local others, wanting = 0, 0  -- other jobs of the computation, and those of them that did not leave it
for _, other in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
  if other ~= job then
    others = others + 1
    if is_wanted_by(other) then wanting = wanting + 1 end
  end
end

if state ~= 'queued' and state ~= 'running' then
  if only_if_attached then return {state} end
  redis.call('EXPIRE', P .. 'gone:' .. job, tombstone_life(tombstone_s))
  if others == 0 then
    remove(comp, 'deleted')
    return {'removed'}
  end
  local job_bytes = memory_of_job(job)
  drop_job(job, 'deleted')
  redis.call('SREM', key .. ':jobs', job)
  local bytes = reserved_bytes(comp) - job_bytes
  if wanting == 0 then
    drop_result(comp)
    bytes = memory_of_records(comp, jobs_of(comp))
  end
  reserve(comp, math.max(0, bytes), tonumber(redis.call('ZSCORE', P .. 'blobs', comp) or NOW))
  mark_if_delivered(comp)
  return {'removed'}
end

if wanting > 0 then  -- the computation goes on for them
  redis.call('HSET', P .. 'job:' .. job, 'left', '1', 'left_at', STAMP)
  note_to(job, 'state', '{"state":"cancelled"}')
  emit_to(job, 'end', '{"state":"cancelled"}')
  return {'left'}
end
if state == 'queued' then
  finish(comp, read_to_finish(comp), jobs_of(comp), 'cancelled', result_ttl_s, tombstone_s, 0, '')
  return {'cancelled'}
end
redis.call('HSET', key, 'cancel', '1')
return {'running'}
