-- An organization that was loaded can be decided on: nothing was lost between its loading and the look at the era.
-- KEYS  1 the organization's hash      ARGV  1 era, 2 the token that the loading gave
if redis.call('HGET', KEYS[1], 'loading') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'loading')
redis.call('HSET', KEYS[1], 'era', ARGV[1])
return 1
