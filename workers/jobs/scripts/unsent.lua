-- Lists the queued computations whose message was sent grace_s ago or more, sweeps what has expired, and gives what
-- was queued by a version that knew no lines its place in one.
-- Answers computations and their lanes in turn.
local grace_s = tonumber(ARGV[1])
local late = {}
allow_writes_when_full()
for _, comp in ipairs(redis.call('ZRANGE', P .. 'queued', 0, 999)) do
  local record = redis.call('HMGET', P .. 'comp:' .. comp, 'sent_at', 'created_at')
  local sent_at, created_at = record[1], record[2]
  if not sent_at then
    leave_queue(comp)
    reserve(comp, 0, 0)
  else
    join_line(comp, created_at)
    if NOW - tonumber(sent_at) >= grace_s then
      late[#late + 1] = comp
      late[#late + 1] = holder_of(comp)
    end
  end
end
sweep()
return late
