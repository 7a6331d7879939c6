-- An open hold becomes the exact charge and stays until the ledger has posted the event.
-- ARGV  1 request id, 2 charge in nano-dollars, 3 tokens estimated at admission, 4 tokens taken, 5 milliseconds since admission
-- A hold that is gone (posted already, or lapsed) stays gone: nothing would take it away again.
local hold = redis.call('HGET', KEYS[3], ARGV[1])
if not hold then return 0 end
local state, amount, key, holder = parse(hold)
if state ~= 'open' then return 0 end
held(key, '-', amount)
held(key, '', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], 'settled:' .. ARGV[2] .. ':' .. key .. holder)
closed(ARGV[1], key)
for _, of in ipairs({{'', KEYS[1]}, {key .. ':', KEYS[2]}}) do
    local prefix, from = of[1], of[2]
    local most = redis.call('HGET', from, 'tokens_per_minute')
    local taken = redis.call('HGET', KEYS[5], prefix .. 'tokens_per_minute')
    if most and most ~= '' and taken then
        local each = 60000 / tonumber(most)
        -- What time has paid back already isn't given back again.
        local least = math.min(0, tonumber(ARGV[5]) / each - tonumber(ARGV[3]))
        local corrected = tonumber(taken) + math.max(tonumber(ARGV[4]) - tonumber(ARGV[3]), least) * each
        redis.call('HSET', KEYS[5], prefix .. 'tokens_per_minute', string.format('%.3f', corrected))
    end
end
return 1
