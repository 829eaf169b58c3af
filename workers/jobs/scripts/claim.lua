-- Leases a queued computation to a worker child: the next of the lane that is `wanted`, or the one whose id that is.
-- `nonce` is of this one call: the same child with the same nonce is answered again, with another one it is a new
-- attempt.
-- Answers {attempt, seconds in the queue, the record's fields and values, its jobs, its id}, or {0, why not}.
local wanted, owner, lease_s, timeout_s, nonce = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
allow_writes_when_full()
local comp = wanted
if is_lane(wanted) then comp = held_in(wanted, owner) or next_in(wanted) end
if not comp then return {0, 'empty'} end
local key = P .. 'comp:' .. comp
local state = redis.call('HGET', key, 'state')
if not state then return {0, 'unknown'} end
local last = redis.call('HMGET', key, 'owner', 'claim', 'attempt')
local is_repeated = state == 'running' and last[1] == owner  -- the answer to its claim was lost
if state ~= 'queued' and not is_repeated then return {0, state} end
local attempt = tonumber(last[3])
if not is_repeated or last[2] ~= nonce then
  attempt = redis.call('HINCRBY', key, 'attempt', 1)
  local deadline = NOW + timeout_s
  redis.call('HSET', key, 'state', 'running', 'owner', owner, 'claim', nonce, 'started_at', stamp(),
             'deadline', string.format('%.6f', deadline))
  if redis.call('HEXISTS', P .. 'checkpoints', comp) == 0 then redis.call('HSET', key, 'done', 0, 'total', 0) end
  redis.call('ZREM', P .. 'queued', comp)
  take_turn(comp)
  redis.call('ZADD', P .. 'running', math.min(NOW + lease_s, deadline), comp)
  emit(comp, 'state', '{"state":"running"}')
end
local queue_s = string.format('%.6f', NOW - tonumber(redis.call('HGET', key, 'created_at')))
return {attempt, queue_s, redis.call('HGETALL', key), redis.call('SMEMBERS', key .. ':jobs'), comp}
