-- Removes a job that was never sent, with its computation, without a trace. Answers 1.
local comp, job = ARGV[1], ARGV[2]
leave_queue(comp)
drop_input(comp)
reserve(comp, 0, 0)
for _, name in ipairs({'comp:' .. comp, 'comp:' .. comp .. ':jobs', 'job:' .. job, 'events:' .. job, 'gone:' .. job}) do
  redis.call('UNLINK', P .. name)
end
return 1
