-- Reads a job; with `detach` it outlives the connection that made it from now on.
-- With an `owner` another client's job is as if it had never been.
-- After the named arguments come names of so many fields of the job, then of its computation.
-- Answers {their values, nothing where it is not there; the computation's, likewise; what the job's tombstone says}.
local job, detach, owner = ARGV[1], ARGV[2] == '1', ARGV[3]
local first_field, first_of_computation = 5, 5 + tonumber(ARGV[4])
if owner ~= '' and owner ~= client_of(job) then job = '' end
local key = P .. 'job:' .. job
local comp = redis.call('HGET', key, 'computation')
if comp and detach then
  allow_writes_when_full()
  redis.call('HSET', key, 'detached', '1')
end
local record = comp and P .. 'comp:' .. comp
return {
  comp and redis.call('HMGET', key, unpack(ARGV, first_field, first_of_computation - 1)) or {},
  comp and redis.call('EXISTS', record) == 1 and redis.call('HMGET', record, unpack(ARGV, first_of_computation)) or {},
  redis.call('GET', P .. 'gone:' .. job)
}
