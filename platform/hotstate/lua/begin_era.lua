-- A new era begins, unless another process began one meanwhile.
-- KEYS  1 the mark      ARGV  1 the era that it follows, '' for none; 2 its id, 3 the server's run, 4 now, Unix milliseconds
if (redis.call('HGET', KEYS[1], 'id') or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'run', ARGV[3], 'begun_ms', ARGV[4], 'state', 'recovering')
return 1
