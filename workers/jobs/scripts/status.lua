-- Reads a job; with `detach` it outlives the connection that made it from now on.
-- With an `owner` another client's job is as if it had never been.
-- Answers {the job's fields and values, its computation's, what its tombstone says}.
local job, detach, owner = ARGV[1], ARGV[2] == '1', ARGV[3]
if owner ~= '' and owner ~= client_of(job) then job = '' end
local key = P .. 'job:' .. job
local comp = redis.call('HGET', key, 'computation')
if comp and detach then
  allow_writes_when_full()
  redis.call('HSET', key, 'detached', '1')
end
return {
  redis.call('HGETALL', key), comp and redis.call('HGETALL', P .. 'comp:' .. comp) or {},
  redis.call('GET', P .. 'gone:' .. job)
}
