-- Which of these jobs have something new for those who wait for them, looked at without telling what it is.
-- The arguments come in pairs: a job, and the id of the last event that is known of it; empty: its end alone is news.
-- Answers the places of those that have, from 1; of a job that is not there it is news that it is gone.
local function numbers(id)
  local ms, seq = string.match(id, '^(%d+)-?(%d*)$')
  return tonumber(ms), tonumber(seq) or 0
end

local function is_later(id, seen)
  if id == seen then return false end
  local ms, seq = numbers(id)
  local seen_ms, seen_seq = numbers(seen)
  return ms > seen_ms or (ms == seen_ms and seq > seen_seq)
end

local places = {}
for i = 1, #ARGV, 2 do
  local job, seen = ARGV[i], ARGV[i + 1]
  local last = redis.call('XREVRANGE', P .. 'events:' .. job, '+', '-', 'COUNT', 1)[1]
  local has_news
  if not last then has_news = true
  elseif seen == '' then has_news = last[2][2] == 'end'
  else has_news = is_later(last[1], seen) end
  if has_news then places[#places + 1] = (i + 1) / 2 end
end
return places
