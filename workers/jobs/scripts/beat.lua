-- heartbeat_ttl, return_s, place, loading, then child/facts pairs ('' keeps the facts that are there): these live
write_in_spite_of_oom()
local ttl, place = tonumber(ARGV[1]), ARGV[3]
for i = 5, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then redis.call('HSET', P .. 'child_facts', ARGV[i], ARGV[i + 1]) end
  if redis.call('HEXISTS', P .. 'child_facts', ARGV[i]) == 1 then
    redis.call('ZADD', P .. 'alive', NOW, ARGV[i])
    redis.call('ZADD', P .. 'served', NOW, place)
  end
end
redis.call('ZREMRANGEBYSCORE', P .. 'served', '-inf', NOW - tonumber(ARGV[2]))
redis.call('ZREMRANGEBYSCORE', P .. 'returning', '-inf', NOW)
local served = redis.call('ZSCORE', P .. 'served', place)
if ARGV[4] == '1' and served then
  redis.call('ZADD', P .. 'returning', math.min(NOW + ttl, tonumber(served) + tonumber(ARGV[2])), place)
else
  redis.call('ZREM', P .. 'returning', place)
end
for _, child in ipairs(redis.call('ZRANGEBYSCORE', P .. 'alive', '-inf', NOW - 6 * ttl)) do
  redis.call('ZREM', P .. 'alive', child)
  redis.call('HDEL', P .. 'child_facts', child)
end
return 1
