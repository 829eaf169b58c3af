-- Stores the records of an admitted job and its computation, whose input is there already, and queues it, with a
-- `message` into the `queue` of its lane (empty: none).
-- After the named arguments come so many fields and values of the computation, then those of the job.
-- Answers the time of creation.
local comp, job, pending_ttl_s, tombstone_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local queue, message, first_field = ARGV[5], ARGV[6], 8
local job_fields = first_field + 2 * tonumber(ARGV[7])
local created_at = redis.call('HGET', P .. 'job:' .. job, 'created_at')
if created_at then return created_at end  -- it was done, only the answer was lost
local fields = given(first_field, job_fields - 1)
for i = 0, tonumber(fields.input_chunks) - 1 do
  local is_there = redis.call('EXPIRE', P .. 'in:' .. comp .. ':' .. i, pending_ttl_s) == 1
  if not is_there then return redis.error_reply('input expired') end
end
redis.call('ZADD', P .. 'active', FOREVER, comp)
keep_place(comp)
reserve(comp, reserved_bytes(comp), FOREVER)
queue_up(comp, job, first_field, job_fields, pending_ttl_s, tombstone_s)
answer_equals(comp, fields.equal, pending_ttl_s)
wake_equals(fields.equal)
send(queue, message)
return STAMP
