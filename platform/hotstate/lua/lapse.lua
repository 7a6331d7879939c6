-- Open holds whose lease ran out: the only sign of a lost tail, so they are counted.
-- KEYS  organization, key, holds, leases      ARGV  1 now, Unix milliseconds
local gone = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[1], 'LIMIT', 0, 1000)
local lapsed = {}
for _, id in ipairs(gone) do
    local hold = redis.call('HGET', KEYS[3], id)
    if hold then
        local amount = string.sub(hold, 6)
        if amount ~= '0' then redis.call('HINCRBY', KEYS[1], 'held', '-' .. amount) end
        redis.call('HINCRBY', KEYS[1], 'lapsed', 1)
        redis.call('HDEL', KEYS[3], id)
        lapsed[#lapsed + 1] = id
        lapsed[#lapsed + 1] = amount
    end
    redis.call('ZREM', KEYS[4], id)
end
return lapsed
