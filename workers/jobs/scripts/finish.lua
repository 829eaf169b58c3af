-- Ends an attempt in a terminal state; its result's pieces are there already.
-- After the named arguments come fields and values of the record.
-- Answers 1, or 0 where the attempt is stale.
local comp, attempt, state, result_ttl_s = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local tombstone_s, result_bytes, error, first_field = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], 8
local key = P .. 'comp:' .. comp
local last = redis.call('HMGET', key, 'state', 'attempt', 'done')
if last[1] == state and last[2] == attempt then return 1 end  -- it was done, only the answer was lost
if not is_held_by(comp, attempt) then return 0 end
allow_writes_when_full()
if #ARGV >= first_field then redis.call('HSET', key, unpack(ARGV, first_field)) end
local record = redis.call('HMGET', key, 'done', 'total', 'result_chunks')
if record[1] ~= last[3] then note(comp, 'progress', '{"done":' .. record[1] .. ',"total":' .. record[2] .. '}') end
for i = 0, tonumber(record[3] or '0') - 1 do
  redis.call('EXPIRE', P .. 'out:' .. comp .. ':' .. attempt .. ':' .. i, result_ttl_s)
end
finish(comp, state, result_ttl_s, tombstone_s, result_bytes, error)
return 1
