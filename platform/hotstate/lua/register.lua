-- Holds that their gateway knows of, after a loss. What is settled here stays so; an open hold gets the amount that is told.
-- ARGV  1 end of open holds' leases, Unix milliseconds; then per hold: request id, 'open' or 'settled', nano-dollars, API key's id
for i = 2, #ARGV, 4 do
    local id, state, amount, key = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local hold = redis.call('HGET', KEYS[3], id)
    -- Told again, it has taken nothing of limits yet: their counters went with the loss.
    local was, before, tail, _ = 'none', '0', '::0'
    if hold then was, before, _, tail = parse(hold) end
    if was ~= 'settled' then
        held(key, '-', before)
        held(key, '', amount)
        redis.call('HSET', KEYS[3], id, state .. ':' .. amount .. ':' .. key .. tail)
        if was == 'none' and state == 'open' then opened(id, key, ARGV[1]) end
        if was == 'open' and state == 'open' then redis.call('ZADD', KEYS[4], ARGV[1], id) end
        if was == 'open' and state == 'settled' then closed(id, key) end
    end
end
return 1
