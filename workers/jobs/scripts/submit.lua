-- Stores the records of an admitted job and its computation, whose input is there already, and queues it.
-- After the named arguments come so many fields and values of the computation, then those of the job.
-- Answers the time of creation.
local comp, job, pending_ttl_s, tombstone_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local job_fields = 6 + 2 * tonumber(ARGV[5])
local key = P .. 'comp:' .. comp
local created_at = redis.call('HGET', P .. 'job:' .. job, 'created_at')
if created_at then return created_at end  -- it was done, only the answer was lost
for i = 6, job_fields - 1, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', key, 'state', 'queued', 'attempt', 0, 'losses', 0, 'created_at', stamp(), 'sent_at', stamp())
write_job(job, comp, 'miss', job_fields)
for i = 0, tonumber(redis.call('HGET', key, 'input_chunks')) - 1 do
  local chunk = P .. 'in:' .. comp .. ':' .. i
  if redis.call('EXPIRE', chunk, pending_ttl_s) == 0 then return redis.error_reply('input expired') end
end
redis.call('ZADD', P .. 'active', FOREVER, comp)
redis.call('ZADD', P .. 'queued', NOW, comp)
keep_place(comp)
join_line(comp, NOW)
reserve(comp, reserved_bytes(comp), FOREVER)
emit(comp, 'state', '{"state":"queued"}')
for _, each in ipairs({key, key .. ':jobs'}) do redis.call('EXPIRE', each, pending_ttl_s) end
answer_equals(comp, pending_ttl_s)
keep_job(job, pending_ttl_s, tombstone_s)
return stamp()
