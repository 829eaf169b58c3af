-- Prolongs the lease of an attempt, never past its deadline.
-- Answers 1 where it is held, 2 where it is held and cancelled, 0 where it was lost.
local comp, attempt, lease_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not is_held_by(comp, attempt) then return 0 end
allow_writes_when_full()
local record = redis.call('HMGET', P .. 'comp:' .. comp, 'deadline', 'cancel')
redis.call('ZADD', P .. 'running', math.min(NOW + lease_s, tonumber(record[1])), comp)
return record[2] == '1' and 2 or 1
