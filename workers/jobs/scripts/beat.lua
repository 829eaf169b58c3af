-- The heartbeat of the children of a place. After the named arguments come children, their facts and the lanes in whose
-- number they count; empty facts keep those that are there, and a child without any is not counted. With `is_loading`
-- another child of the place loads its models: jobs are admitted for return_s after a child of it was last alive.
-- Answers 1.
local heartbeat_ttl_s, return_s, place, is_loading = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'
local first_child = 5
allow_writes_when_full()
for i = first_child, #ARGV, 3 do
  local child, facts, lane = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if facts ~= '' then
    redis.call('HSET', P .. 'child_facts', child, facts)
    redis.call('HSET', P .. 'child_lanes', child, lane)
  end
  if redis.call('HEXISTS', P .. 'child_facts', child) == 1 then
    redis.call('ZADD', P .. 'alive', NOW, child)
    redis.call('ZADD', P .. 'served', NOW, place)
  end
end
redis.call('ZREMRANGEBYSCORE', P .. 'served', '-inf', NOW - return_s)
redis.call('ZREMRANGEBYSCORE', P .. 'returning', '-inf', NOW)
local served_at = redis.call('ZSCORE', P .. 'served', place)
if is_loading and served_at then
  redis.call('ZADD', P .. 'returning', math.min(NOW + heartbeat_ttl_s, tonumber(served_at) + return_s), place)
else
  redis.call('ZREM', P .. 'returning', place)
end
for _, child in ipairs(redis.call('ZRANGEBYSCORE', P .. 'alive', '-inf', NOW - 6 * heartbeat_ttl_s)) do
  redis.call('ZREM', P .. 'alive', child)
  redis.call('HDEL', P .. 'child_facts', child)
  redis.call('HDEL', P .. 'child_lanes', child)
end
return 1
