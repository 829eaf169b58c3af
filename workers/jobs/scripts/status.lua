-- job, detach -> {the job's fields and values, its computation's, what its tombstone says}
local key = P .. 'job:' .. ARGV[1]
local comp = redis.call('HGET', key, 'computation')
if comp and ARGV[2] == '1' then
  write_in_spite_of_oom()
  redis.call('HSET', key, 'detached', '1')
end
return {
  redis.call('HGETALL', key), comp and redis.call('HGETALL', P .. 'comp:' .. comp) or {},
  redis.call('GET', P .. 'gone:' .. ARGV[1])
}
