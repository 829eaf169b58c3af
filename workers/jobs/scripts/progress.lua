-- comp, attempt, done, total -> as RENEW
local comp = ARGV[1]
if not holds(comp, ARGV[2]) then return 0 end
local told = redis.call('HMGET', P .. 'comp:' .. comp, 'done', 'total')
if told[1] ~= ARGV[3] or told[2] ~= ARGV[4] then
  redis.call('HSET', P .. 'comp:' .. comp, 'done', ARGV[3], 'total', ARGV[4])
  emit(comp, 'progress', '{"done":' .. ARGV[3] .. ',"total":' .. ARGV[4] .. '}')
end
return redis.call('HGET', P .. 'comp:' .. comp, 'cancel') == '1' and 2 or 1
