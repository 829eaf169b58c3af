-- Reads the queue, the workers and the bytes held, after a sweep. `work_s` is what is estimated to be left of all that
-- runs and of all that is queued, up to `until_comp` where that is not empty.
-- Answers {queued, running, active, oldest created_at, children alive, bytes, work_s, end of the first hold, now}.
local heartbeat_ttl_s, until_comp = tonumber(ARGV[1]), ARGV[2]
sweep()
local function work_left(comp)
  local record = redis.call('HMGET', P .. 'comp:' .. comp, 'estimate_s', 'done', 'total')
  local total = tonumber(record[3] or '0') or 0
  local share = total > 0 and 1 - tonumber(record[2]) / total or 1
  return (tonumber(record[1] or '0') or 0) * share
end
local queued = redis.call('ZRANGE', P .. 'queued', 0, -1)
local work_s = 0
for _, comp in ipairs(redis.call('ZRANGE', P .. 'running', 0, -1)) do work_s = work_s + work_left(comp) end
for _, comp in ipairs(queued) do
  work_s = work_s + work_left(comp)
  if comp == until_comp then break end
end
local oldest = redis.call('ZRANGE', P .. 'queued', 0, 0, 'WITHSCORES')
local first_hold = redis.call('ZRANGE', P .. 'blobs', 0, 0, 'WITHSCORES')
return {
  #queued, redis.call('ZCARD', P .. 'running'), redis.call('ZCARD', P .. 'active'),
  oldest[2] or '', redis.call('ZCOUNT', P .. 'alive', NOW - heartbeat_ttl_s, '+inf'),
  redis.call('GET', P .. 'blob_bytes') or '0', string.format('%.6f', work_s), first_hold[2] or '', stamp()
}
