-- An open hold becomes the exact charge and stays until the ledger has posted the event.
-- ARGV  1 request id, 2 charge in nano-dollars, 3 tokens taken, 4 milliseconds since admission
-- A hold that is gone (posted already, or lapsed) stays gone: nothing would take it away again.
local hold = redis.call('HGET', KEYS[3], ARGV[1])
if not hold then return 0 end
local state, amount, key, tail = parse(hold)
if state ~= 'open' then return 0 end
held(key, '-', amount)
held(key, '', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], 'settled:' .. ARGV[2] .. ':' .. key .. tail)
closed(ARGV[1], key)
correct_tokens(key, tail, tonumber(ARGV[3]), tonumber(ARGV[4]))
return 1
