-- An attempt from the express lane gives its computation back, which waits in the bulk lane from now on, estimated at so
-- many seconds; a `message` goes into its `queue`. Its worker is not lost.
-- Answers as renew: 1, or 0 where the attempt is stale, or 2 where nobody wants it any more, and then nothing has changed.
local comp, attempt, estimate_s, queue, message = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local record = redis.call('HMGET', P .. 'comp:' .. comp, 'state', 'attempt', 'cancel')
if record[1] == 'queued' and record[2] == attempt then return 1 end  -- it was done, only the answer was lost
if not is_held_by(comp, attempt) then return 0 end
if record[3] == '1' then return 2 end
allow_writes_when_full()
make_bulk(comp, estimate_s)
join_line(comp, queue_again(comp))
send(queue, message)
return 1
