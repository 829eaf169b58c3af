-- comp, job, pending_ttl, tombstone, n, n field/value pairs of the computation, then those of the job -> created_at
local comp, job, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key, n = P .. 'comp:' .. comp, tonumber(ARGV[5])
local there = redis.call('HGET', P .. 'job:' .. job, 'created_at')
if there then return there end  -- it was done, only the answer was lost
for i = 6, 5 + 2 * n, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', key, 'state', 'queued', 'attempt', 0, 'losses', 0, 'created_at', stamp(), 'sent_at', stamp())
redis.call('SADD', key .. ':jobs', job)
for i = 6 + 2 * n, #ARGV, 2 do redis.call('HSET', P .. 'job:' .. job, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', P .. 'job:' .. job, 'computation', comp, 'created_at', stamp())
local chunks = tonumber(redis.call('HGET', key, 'input_chunks'))
for i = 0, chunks - 1 do
  if redis.call('EXPIRE', P .. 'in:' .. comp .. ':' .. i, ttl) == 0 then return redis.error_reply('input expired') end
end
redis.call('ZADD', P .. 'active', FOREVER, comp)
redis.call('ZADD', P .. 'queued', NOW, comp)
hold(comp, tonumber(redis.call('HGET', P .. 'blob_sizes', comp) or '0'), FOREVER)
emit(comp, 'state', '{"state":"queued"}')
for _, k in ipairs({key, key .. ':jobs', P .. 'job:' .. job, P .. 'events:' .. job}) do redis.call('EXPIRE', k, ttl) end
redis.call('SET', P .. 'gone:' .. job, '1', 'EX', ttl + tonumber(ARGV[4]))
return stamp()
