-- Ends an attempt in a terminal state; its result's pieces are there already.
-- After the named arguments come fields and values of the record.
-- Answers 1, or 0 where the attempt is stale.
local comp, attempt, state, result_ttl_s = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local tombstone_s, result_bytes, error, first_field = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], 8
local key = P .. 'comp:' .. comp
local last = redis.call('HMGET', key, 'state', 'attempt', 'done')
if last[1] == state and last[2] == attempt then return 1 end  -- it was done, only the answer was lost
if last[1] ~= 'running' or last[2] ~= attempt then return 0 end
allow_writes_when_full()
local jobs = jobs_of(comp)
local fields = given(first_field, #ARGV)
if #ARGV >= first_field then redis.call('HSET', key, unpack(ARGV, first_field)) end
if fields.done and fields.done ~= last[3] then
  note(jobs, 'progress', '{"done":' .. fields.done .. ',"total":' .. fields.total .. '}')
end
for i = 0, tonumber(fields.result_chunks or '0') - 1 do
  redis.call('EXPIRE', P .. 'out:' .. comp .. ':' .. attempt .. ':' .. i, result_ttl_s)
end
finish(comp, jobs, state, result_ttl_s, tombstone_s, result_bytes, error)
return 1
