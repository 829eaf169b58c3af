-- comp, attempt, lease_s -> 1 held, 2 held but cancelled, 0 lost
local comp = ARGV[1]
if not holds(comp, ARGV[2]) then return 0 end
write_in_spite_of_oom()
local facts = redis.call('HMGET', P .. 'comp:' .. comp, 'deadline', 'cancel')
redis.call('ZADD', P .. 'running', math.min(NOW + tonumber(ARGV[3]), tonumber(facts[1])), comp)
return facts[2] == '1' and 2 or 1
