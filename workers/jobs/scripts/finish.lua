-- comp, attempt, state, ttl, tombstone, result_bytes, error, field/value pairs -> 1, or 0 where the attempt is stale
local comp = ARGV[1]
local key = P .. 'comp:' .. comp
local before = redis.call('HMGET', key, 'state', 'attempt')
if before[1] == ARGV[3] and before[2] == ARGV[2] then return 1 end  -- it was done, only the answer was lost
if not holds(comp, ARGV[2]) then return 0 end
write_in_spite_of_oom()
local told = redis.call('HGET', key, 'done')
for i = 8, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
local tiles = redis.call('HMGET', key, 'done', 'total')
if tiles[1] ~= told then emit(comp, 'progress', '{"done":' .. tiles[1] .. ',"total":' .. tiles[2] .. '}') end
for i = 0, tonumber(redis.call('HGET', key, 'result_chunks') or '0') - 1 do
  redis.call('EXPIRE', P .. 'out:' .. comp .. ':' .. ARGV[2] .. ':' .. i, tonumber(ARGV[4]))
end
finish(comp, ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7])
return 1
