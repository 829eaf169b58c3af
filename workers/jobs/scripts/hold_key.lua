-- Holds an Idempotency-Key for a job that is on its way, for so long; again: for as long again.
-- Answers {the job that has it, the fingerprint of its request}; the fingerprint is empty until that job is taken in.
local key, job, hold_s = P .. 'key:' .. ARGV[1], ARGV[2], tonumber(ARGV[3])
local holder = redis.call('HMGET', key, 'job', 'fingerprint')
if holder[1] and (holder[1] ~= job or holder[2]) then return {holder[1], holder[2] or ''} end
redis.call('HSET', key, 'job', job)
redis.call('EXPIRE', key, hold_s)
return {job, ''}
