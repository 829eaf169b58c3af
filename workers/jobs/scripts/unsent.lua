-- grace_s -> computations that are queued and were sent longer ago than that
local late = {}
for _, comp in ipairs(redis.call('ZRANGE', P .. 'queued', 0, 999)) do
  local sent = redis.call('HGET', P .. 'comp:' .. comp, 'sent_at')
  if not sent then
    leave(comp)
    hold(comp, 0, 0)
  elseif NOW - tonumber(sent) >= tonumber(ARGV[1]) then
    late[#late + 1] = comp
  end
end
sweep()
return late
