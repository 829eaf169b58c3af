-- Lists the queued computations whose message was sent grace_s ago or more, and sweeps what has expired.
local grace_s = tonumber(ARGV[1])
local late = {}
for _, comp in ipairs(redis.call('ZRANGE', P .. 'queued', 0, 999)) do
  local sent_at = redis.call('HGET', P .. 'comp:' .. comp, 'sent_at')
  if not sent_at then
    leave_queue(comp)
    reserve(comp, 0, 0)
  elseif NOW - tonumber(sent_at) >= grace_s then
    late[#late + 1] = comp
  end
end
sweep()
return late
