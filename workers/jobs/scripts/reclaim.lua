-- comp, owner or '' (then: only when the lease has ended), ttl, tombstone, max_losses (0: no blame), error if lost,
-- error if over time
--   -> {queued | failed | cancelled | kept, operation, model, error}
local comp = ARGV[1]
local key = P .. 'comp:' .. comp
local facts = redis.call('HMGET', key, 'state', 'owner', 'deadline', 'cancel', 'operation', 'model')
if facts[1] ~= 'running' then redis.call('ZREM', P .. 'running', comp); return {'kept', '', '', ''} end
local lease = tonumber(redis.call('ZSCORE', P .. 'running', comp) or '0')
if (ARGV[2] == '' and lease > NOW) or (ARGV[2] ~= '' and ARGV[2] ~= facts[2]) then return {'kept', '', '', ''} end
write_in_spite_of_oom()
local function ended(state, error)
  finish(comp, state, tonumber(ARGV[3]), tonumber(ARGV[4]), 0, error)
  return {state, facts[5], facts[6], error}
end
if facts[4] == '1' then return ended('cancelled', '') end
if NOW >= tonumber(facts[3]) then return ended('failed', ARGV[7]) end
if tonumber(ARGV[5]) > 0 and redis.call('HINCRBY', key, 'losses', 1) >= tonumber(ARGV[5]) then
  return ended('failed', ARGV[6])
end
redis.call('HSET', key, 'state', 'queued', 'sent_at', stamp())
redis.call('HDEL', key, 'owner')
redis.call('ZREM', P .. 'running', comp)
redis.call('ZADD', P .. 'queued', tonumber(redis.call('HGET', key, 'created_at')), comp)
emit(comp, 'state', '{"state":"queued"}')
return {'queued', facts[5], facts[6], ''}
