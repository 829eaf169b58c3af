-- Notes that a computation's message is sent now. Answers 1, or 0 where it is no longer queued.
local comp = ARGV[1]
local key = P .. 'comp:' .. comp
if redis.call('HGET', key, 'state') ~= 'queued' then return 0 end
redis.call('HSET', key, 'sent_at', STAMP)
return 1
