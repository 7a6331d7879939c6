-- The gateway still works on these requests.
-- ARGV  1 lease's new end, Unix milliseconds; then request ids
for i = 2, #ARGV do redis.call('ZADD', KEYS[4], 'XX', ARGV[1], ARGV[i]) end
return #ARGV - 1
