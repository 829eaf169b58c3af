-- comp -> 1 where it is still queued and its time of sending has been set to now
local key = P .. 'comp:' .. ARGV[1]
if redis.call('HGET', key, 'state') ~= 'queued' then return 0 end
redis.call('HSET', key, 'sent_at', stamp())
return 1
