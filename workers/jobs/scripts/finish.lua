-- Ends an attempt in a terminal state; its result's pieces are there already. Then leases the next computation to its
-- child, where that asks for it.
-- After the named arguments come so many fields and values of the record, then what `lease_out` is asked by, or nothing.
-- Answers {1, or 0 where the attempt is stale, or 2 where a piece is not there; the answer of `lease_out`, {0} where
-- it was not asked}. Where it is not 1 nothing has changed.
local comp, attempt, state, result_ttl_s = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local tombstone_s, result_bytes, error, first_field = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], 9
local first_wish = first_field + 2 * tonumber(ARGV[8])
local function answer(ended, is_free)
  return {ended, ended == 1 and ARGV[first_wish] and lease_out(first_wish, is_free) or {0}}
end

local record = read_to_finish(comp)
local is_done = record.state == state and record.attempt == attempt  -- only the answer was lost
if not is_done and (record.state ~= 'running' or record.attempt ~= attempt) then return answer(0) end
allow_writes_when_full()
if is_done then return answer(1) end
local fields = given(first_field, first_wish - 1)
for i = 0, tonumber(fields.result_chunks or '0') - 1 do
  local piece = P .. 'out:' .. comp .. ':' .. attempt .. ':' .. i
  if redis.call('EXPIRE', piece, result_ttl_s) == 0 then return answer(2) end
end
local jobs = jobs_of(comp)
record.result_attempt, record.output = fields.result_attempt, fields.output
if fields.done and fields.done ~= record.done then
  note(jobs, 'progress', '{"done":' .. fields.done .. ',"total":' .. fields.total .. '}')
end
finish(comp, record, jobs, state, result_ttl_s, tombstone_s, result_bytes, error, first_field, first_wish - 1)
return answer(1, true)  -- a child holds one at a time
