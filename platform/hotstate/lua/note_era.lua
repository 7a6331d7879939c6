-- Something is noted about an era, if it lasts.
-- KEYS  1 the mark      ARGV  1 the era's id, 2 field, 3 value
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
