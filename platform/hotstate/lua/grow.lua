-- An open hold gets larger while its answer streams, if balance and budgets allow. Told how large it is to be, not how much
-- more: who didn't hear the answer asks again.
-- ARGV  1 request id, 2 nano-dollars in all, 3 4 5 ids of the current day, ISO week and month, 6 era
-- Gives -1 where the organization isn't known to be of this era: it has to be loaded first.
local organization = redis.call('HMGET', KEYS[1], 'era', 'balance_era', 'balance', 'overdraft', 'held')
local api_key = redis.call('HMGET', KEYS[2], 'era', 'budget_day', 'budget_week', 'budget_month', 'budget_total')
local era = ARGV[6]
if organization[1] ~= era or organization[2] ~= era or api_key[1] ~= era then return -1 end
local hold = redis.call('HGET', KEYS[3], ARGV[1])
if not hold then return 0 end
local state, amount, key, tail = parse(hold)
if state ~= 'open' then return 0 end
local more = tonumber(ARGV[2]) - tonumber(amount)
if more <= 0 then return 1 end
if more > spendable(unpack(organization, 3, 5)) then return 0 end
local limits = budgets(api_key, 2)
if limits and exceeded_budget(limits, key, more, {ARGV[3], ARGV[4], ARGV[5]}) then return 0 end
held(key, '', string.format('%.0f', more))
redis.call('HSET', KEYS[3], ARGV[1], 'open:' .. ARGV[2] .. ':' .. key .. tail)
return 1
