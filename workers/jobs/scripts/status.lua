-- Reads a job; with `detach` it outlives the connection that made it from now on.
-- Answers {the job's fields and values, its computation's, what its tombstone says}.
local job, detach = ARGV[1], ARGV[2] == '1'
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
