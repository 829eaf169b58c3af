-- comp, job: a job that was never sent leaves no trace
local comp, job = ARGV[1], ARGV[2]
leave(comp)
drop_input(comp)
hold(comp, 0, 0)
for _, k in ipairs({'comp:' .. comp, 'comp:' .. comp .. ':jobs', 'job:' .. job, 'events:' .. job, 'gone:' .. job}) do
  redis.call('UNLINK', P .. k)
end
return 1
