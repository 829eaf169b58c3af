-- Lets go of an Idempotency-Key whose request was refused; a job that was taken in keeps it. Answers 1.
local key, job = P .. 'key:' .. ARGV[1], ARGV[2]
local holder = redis.call('HMGET', key, 'job', 'fingerprint')
if holder[1] == job and not holder[2] then redis.call('UNLINK', key) end
return 1
