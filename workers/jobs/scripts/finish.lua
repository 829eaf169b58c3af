-- Ends attempts in terminal states; the pieces of their results are there already. Then leases the next computation to
-- their child, where that asks for it.
-- After the named arguments come those of each end, as `end_attempt` reads them, then what `lease_out` is asked by, or
-- nothing.
-- Answers {for each end: 1, or 0 where the attempt is stale, or 2 where a piece is not there; the answer of `lease_out`,
-- {0} where it was not asked}. Of an end that is not 1 nothing has changed; nothing is leased where none is, or one is 2.
local result_ttl_s, tombstone_s, count, first = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), 4
local is_free = true  -- a child holds no more than it ends; unless this was run before, and only the answer was lost

-- The end whose arguments begin at this place: the computation, the attempt, the state, the bytes of its result, its
-- problem, and how many fields and values of the record follow. Answers as above.
local function end_attempt(comp, attempt, state, result_bytes, error, first_field, last_value)
  local record = read_to_finish(comp)
  if record.state == state and record.attempt == attempt then
    is_free = false
    return 1
  end
  if record.state ~= 'running' or record.attempt ~= attempt then return 0 end
  allow_writes_when_full()
  local fields = given(first_field, last_value)
  for i = 0, tonumber(fields.result_chunks or '0') - 1 do
    local piece = P .. 'out:' .. comp .. ':' .. attempt .. ':' .. i
    if redis.call('EXPIRE', piece, result_ttl_s) == 0 then return 2 end
  end
  local jobs = jobs_of(comp)
  record.result_attempt, record.output = fields.result_attempt, fields.output
  if fields.done and fields.done ~= record.done then
    note(jobs, 'progress', '{"done":' .. fields.done .. ',"total":' .. fields.total .. '}')
  end
  finish(comp, record, jobs, state, result_ttl_s, tombstone_s, result_bytes, error, first_field, last_value)
  return 1
end

local ended, is_some, is_full = {}, false, false
for i = 1, count do
  local comp, attempt, state, result_bytes, error, fields = unpack(ARGV, first, first + 5)
  local last_value = first + 5 + 2 * tonumber(fields)
  ended[i] = end_attempt(comp, attempt, state, tonumber(result_bytes), error, first + 6, last_value)
  is_some, is_full = is_some or ended[i] == 1, is_full or ended[i] == 2
  first = last_value + 1
end
if not is_some or is_full or not ARGV[first] then return {ended, {0}} end
allow_writes_when_full()
return {ended, lease_out(first, is_free)}
