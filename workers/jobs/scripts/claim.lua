-- comp, owner, lease_s, timeout_s, nonce of this claim
--   -> {attempt, queue_s, the record's fields and values, its jobs} or {0, why}
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
