-- Reads a job; with `detach` it outlives the connection that made it from now on.
-- With an `owner` another client's job is as if it had never been.
-- After the named arguments come names of so many fields of the job, then of its computation.
-- Answers {their values, nothing where it is not there; the computation's, likewise; what the job's tombstone says; its
-- result where that is there and no larger than `most_bytes`}.
local job, detach, owner, most_bytes = ARGV[1], ARGV[2] == '1', ARGV[3], tonumber(ARGV[4])
local first_field, first_of_computation = 6, 6 + tonumber(ARGV[5])
if owner ~= '' and owner ~= client_of(job) then job = '' end
local key = P .. 'job:' .. job
local comp = redis.call('HGET', key, 'computation')
if comp and detach then
  allow_writes_when_full()
  redis.call('HSET', key, 'detached', '1')
end
local function small_result()
  local facts = redis.call('HMGET', P .. 'comp:' .. comp, 'state', 'result_attempt', 'result_chunks')
  if facts[1] ~= 'succeeded' or facts[3] ~= '1' then return end
  local piece = P .. 'out:' .. comp .. ':' .. facts[2] .. ':0'
  if redis.call('STRLEN', piece) <= most_bytes then return redis.call('GET', piece) end
end
local record = comp and P .. 'comp:' .. comp
return {
  comp and redis.call('HMGET', key, unpack(ARGV, first_field, first_of_computation - 1)) or {},
  comp and redis.call('EXISTS', record) == 1 and redis.call('HMGET', record, unpack(ARGV, first_of_computation)) or {},
  redis.call('GET', P .. 'gone:' .. job), comp and most_bytes > 0 and small_result() or ''
}
