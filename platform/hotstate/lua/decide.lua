-- One decision, all or nothing: a refusal writes nothing.
-- ARGV  1 now, Unix milliseconds        2 request id
--       3 version of the record that the caller judged
--       4 what the caller found ('' or a verdict that ranks after suspension and before the budget)
--       5 nano-dollars to hold         6 lease, milliseconds
--       7 API key's id                 8 tokens that the request may take, as estimated
--       9 10 11 ids of the current day, ISO week and month
--       12 'take'; 'count': costs nothing and holds nothing, and counts as a request; 'free': not even that; 'dry': judge
--       all, take nothing
--       13 '1': tell what was seen, though the answer be 'allowed'
--       14 era: what isn't known to be of this one counts as missing
--       15 version of the organization's record that the caller judged         16 who holds
-- Gives {verdict, detail, milliseconds to wait, limits, seen}.
-- `limits`: per limit its name, the limit, what is left, milliseconds until all is back.
-- `seen`, of refusals and where asked for: the organization's fields, the key's, the counters'; name, value, …
-- 'missing' and 'stale' (with the key's and the organization's record as they are here) ask the caller to load them and
-- to come again; 'used' is the id of a request of another key, of a smaller one, or of one that has ended.
local MINUTE, DAY = 60000, 86400000
-- Clocks that differ by more are wrong.
local SKEW = 300000
local now, id, key_id, amount = tonumber(ARGV[1]), ARGV[2], ARGV[7], tonumber(ARGV[5])
local rates = {'requests_per_minute', 'tokens_per_minute', 'requests_per_day', 'concurrent_requests'}

local function seen()
    local counters, names = {}, {'held', 'open', unpack(rates, 1, 3)}
    for _, prefix in ipairs({'', key_id .. ':'}) do
        for _, name in ipairs(names) do
            counters[#counters + 1] = prefix == '' and name or 'key.' .. name
            counters[#counters + 1] = redis.call('HGET', KEYS[5], prefix .. name) or ''
        end
    end
    -- Not the records, which the caller has: they may be long.
    local fields = {{}, {}}
    for i, found in ipairs(fields) do
        for _, name in ipairs(redis.call('HKEYS', KEYS[i])) do
            if name ~= 'record' then
                found[#found + 1] = name
                found[#found + 1] = redis.call('HGET', KEYS[i], name)
            end
        end
    end
    return {fields[1], fields[2], counters}
end
-- Who has a key that isn't good, or isn't where it may be used, is told nothing of its limits.
local function refused(verdict) return {verdict, '', 0, {}, seen()} end

local organization = redis.call('HMGET', KEYS[1], 'era', 'suspended', 'balance_era',
    'balance', 'overdraft', 'held', 'version', unpack(rates))
local key = redis.call('HMGET', KEYS[2], 'version', 'revoked', 'expires', 'spent_version', 'era',
    'budget_day', 'budget_week', 'budget_month', 'budget_total', unpack(rates))
local era = ARGV[14]
if organization[1] ~= era or organization[3] ~= era or key[5] ~= era then return {'missing'} end
if key[2] == '1' then return refused('revoked') end
if key[1] ~= ARGV[3] or organization[7] ~= ARGV[15] then
    return {'stale', redis.call('HGET', KEYS[2], 'record'), redis.call('HGET', KEYS[1], 'record')}
end
if key[3] ~= '' and tonumber(key[3]) <= now then return refused('expired') end
-- A secret that rotation has ended is found by the caller.
if ARGV[4] == 'expired' then return refused('expired') end
if organization[2] == '1' then return refused('suspended') end
if ARGV[4] == 'address_not_allowed' then return refused(ARGV[4]) end

local hold = ARGV[12] == 'take' and redis.call('HGET', KEYS[3], id)
local counted_only = ARGV[12] == 'count'
local free = ARGV[12] == 'free' or hold

-- Rates by GCRA: a counter is the moment at which all that was taken will have been paid back.
local limits, most_open = {}, {}
local counting = {key_id .. ':open', 'open'}
for i, of in ipairs({{'key', key_id .. ':', key, 9}, {'organization', '', organization, 7}}) do
    local who, prefix, found, before = unpack(of)
    for j, window in ipairs({MINUTE, MINUTE, DAY}) do
        local most = found[before + j]
        if most and most ~= '' then
            local cost = j == 2 and tonumber(ARGV[8]) or 1
            counting[#counting + 1] = prefix .. rates[j]
            limits[#limits + 1] = {name = who .. '.' .. rates[j], most = tonumber(most), cost = free and 0 or cost,
                place = #counting, corrected = j == 2, window = window, each = window / tonumber(most)}
        end
    end
    local most = found[before + 4]
    if most and most ~= '' then most_open[#most_open + 1] = {who, i, tonumber(most)} end
end
local counters = (#limits > 0 or #most_open > 0) and redis.call('HMGET', KEYS[5], unpack(counting))
local bound, wait = '', 0
for _, limit in ipairs(limits) do
    local before = math.max(tonumber(counters[limit.place] or '0'), now)
    -- So far ahead was a clock that was wrong. Tokens may be: what was taken beyond an estimate.
    if not limit.corrected and before > now + limit.window + SKEW then before = now end
    limit.before, limit.after = before, before + limit.cost * limit.each
    -- Doubles don't add up to the whole window exactly: a hundredth of a millisecond of grace.
    local over = limit.after - now - limit.window
    if limit.cost > 0 and over > 0.01 then
        -- More than a limit allows at once will never fit.
        if limit.cost > limit.most then over = math.huge end
        if over > wait then bound, wait = limit.name, over end
    end
end
local function told(verdict, detail, milliseconds)
    local states = {}
    for _, limit in ipairs(limits) do
        local back = (verdict == 'allowed' and limit.after or limit.before) - now
        local left = math.floor((limit.window - back + 0.01) / limit.each)
        left = math.max(0, math.min(limit.most, left))
        for _, value in ipairs({limit.name, limit.most, left, math.ceil(back)}) do states[#states + 1] = value end
    end
    local tell = verdict ~= 'allowed' or ARGV[13] == '1'
    return {verdict, detail, milliseconds, states, tell and seen() or nil}
end
if ARGV[4] ~= '' then return told(ARGV[4], '', 0) end

-- The same request again is the same decision; another one can't hide behind its hold.
local mine = ':' .. (ARGV[16] or '')
if hold then
    local state, have, of_key, tail = parse(hold)
    local holder = string.match(tail, '^:[^:]*') or ':'
    local others = holder ~= ':' and holder ~= mine
    if state ~= 'open' or of_key ~= key_id or others or tonumber(have) < amount then return {'used'} end
end
if not free and not counted_only then
    local budgeted = budgets(key, 6)
    if budgeted then
        -- A budget can't be judged before the spending was published once.
        if not key[4] then return {'missing'} end
        local budget = exceeded_budget(budgeted, key_id, amount, {ARGV[9], ARGV[10], ARGV[11]})
        if budget then return told('budget_exhausted', budget, 0) end
    end
    if amount > 0 and amount > spendable(unpack(organization, 4, 6)) then
        return told('insufficient_balance', '', 0)
    end
end
if bound ~= '' then return told('rate_limited', bound, wait == math.huge and -1 or math.ceil(wait)) end
for _, item in ipairs(most_open) do
    if not free and not counted_only and tonumber(counters[item[2]] or '0') >= item[3] then
        return told('concurrency_limited', item[1] .. '.concurrent_requests', 1000)
    end
end
local answer = told('allowed', '', 0)
if free or ARGV[12] == 'dry' then return answer end

local counted = {}
for _, limit in ipairs(limits) do
    counted[#counted + 1] = counting[limit.place]
    counted[#counted + 1] = string.format('%.3f', limit.after)
end
if #counted > 0 then redis.call('HSET', KEYS[5], unpack(counted)) end
if counted_only then return answer end
redis.call('HSET', KEYS[3], id, 'open:' .. ARGV[5] .. ':' .. key_id .. mine .. ':' .. ARGV[8])
held(key_id, '', ARGV[5])
opened(id, key_id, now + tonumber(ARGV[6]))
return answer
