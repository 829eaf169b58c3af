-- job, only_if_attached, ttl, tombstone -> {state of the job after it}, {removed} or {}
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
