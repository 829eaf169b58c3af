-- Notes how many tiles of how many an attempt has done, with an event. Answers as renew.
local comp, attempt, done, total = unpack(ARGV)
if not is_held_by(comp, attempt) then return 0 end
local key = P .. 'comp:' .. comp
local last = redis.call('HMGET', key, 'done', 'total')
if last[1] ~= done or last[2] ~= total then
  redis.call('HSET', key, 'done', done, 'total', total)
  emit(jobs_of(comp), 'progress', '{"done":' .. done .. ',"total":' .. total .. '}')
end
return redis.call('HGET', key, 'cancel') == '1' and 2 or 1
