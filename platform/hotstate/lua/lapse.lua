-- Open holds whose lease ran out: the only sign of a lost tail, so they are counted. What was set aside goes too: nothing
-- is lost by it. Their tokens are not given back: in a minute, the limits' window, time gives back all.
-- ARGV  1 now, Unix milliseconds
local lapsed = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[1], 'LIMIT', 0, 1000)) do
    local hold = redis.call('HGET', KEYS[3], id)
    if hold and parse(hold) == 'aside' then
        gone(id, hold)
    elseif hold then
        lapsed[#lapsed + 1] = id
        lapsed[#lapsed + 1] = gone(id, hold)
        redis.call('HINCRBY', KEYS[1], 'lapsed', 1)
    else
        redis.call('ZREM', KEYS[4], id)
    end
end
return lapsed
