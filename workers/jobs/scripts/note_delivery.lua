-- Notes of jobs, the first delivered first, that their clients have the whole result, or the problem. Answers 1.
local jobs = ARGV
allow_writes_when_full()
for _, job in ipairs(jobs) do
  local comp = redis.call('HGET', P .. 'job:' .. job, 'computation')
  if comp then
    redis.call('HSET', P .. 'job:' .. job, 'delivered', '1')
    mark_if_delivered(comp)
    NOW = NOW + 0.000001  -- so that they keep their order
  end
end
return 1
