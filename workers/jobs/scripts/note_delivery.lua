-- jobs, the first delivered first -> 1; their clients had their results whole, or their problems
write_in_spite_of_oom()
for _, job in ipairs(ARGV) do
  local comp = redis.call('HGET', P .. 'job:' .. job, 'computation')
  if comp then
    redis.call('HSET', P .. 'job:' .. job, 'delivered', '1')
    note_if_all_have_it(comp)
    NOW = NOW + 0.000001  -- so that they keep their order
  end
end
return 1
