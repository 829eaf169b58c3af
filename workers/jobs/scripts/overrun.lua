-- An attempt from the express lane has computed for longer than one there may; by its pace it takes so many seconds in all.
-- What waits there by the same model, and at this pace would take longer than express_s, waits in the bulk lane from now on.
-- Answers {how many that are, how many wait in the express lane still}; of a stale attempt {0, 0}.
local comp, attempt, seconds, express_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if not is_held_by(comp, attempt) then return {0, 0} end
allow_writes_when_full()
local slower = seconds / costs_of(comp)
local model = redis.call('HGET', P .. 'comp:' .. comp, 'model')
local moved, waiting = 0, 0
for _, client in ipairs(redis.call('ZRANGE', P .. 'round:express', 0, -1)) do
  for _, other in ipairs(redis.call('ZRANGE', line_key('express', client), 0, -1)) do
    local record = redis.call('HMGET', P .. 'comp:' .. other, 'model', 'created_at')
    local estimate_s = costs_of(other) * slower
    if record[1] == model and estimate_s > express_s then
      make_bulk(other, estimate_s)
      join_line(other, record[2])
      moved = moved + 1
    else
      waiting = waiting + 1
    end
  end
end
return {moved, waiting}
