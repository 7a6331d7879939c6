-- Put before every script about holds.
-- KEYS  1 organization, 2 API key, 3 holds, 4 leases, 5 counters (one hash tag: the organization)
-- A hold is '<open|settled>:<nano-dollars>:<API key's id>:<who holds>:<tokens as estimated>'; the version before wrote no
-- tokens. What is held is summed up for the organization and the key. One that is 'aside' (set_aside.lua) is nobody's request.
local function parse(hold) return string.match(hold, '^(%a+):(%d+):([^:]+)(.*)$') end

local function held(key, sign, amount)
    -- '-0' is no integer to HINCRBY.
    if amount == '0' then return end
    redis.call('HINCRBY', KEYS[1], 'held', sign .. amount)
    redis.call('HINCRBY', KEYS[5], key .. ':held', sign .. amount)
end

local function opened(id, key, until_ms)
    redis.call('ZADD', KEYS[4], until_ms, id)
    redis.call('HINCRBY', KEYS[5], key .. ':open', 1)
    redis.call('HINCRBY', KEYS[5], 'open', 1)
end

local function closed(id, key)
    redis.call('ZREM', KEYS[4], id)
    redis.call('HINCRBY', KEYS[5], key .. ':open', -1)
    redis.call('HINCRBY', KEYS[5], 'open', -1)
end

local function gone(id, hold)
    local state, amount, key = parse(hold)
    held(key, '-', amount)
    redis.call('HDEL', KEYS[3], id)
    if state == 'open' then closed(id, key) elseif state == 'aside' then redis.call('ZREM', KEYS[4], id) end
    return amount
end

-- Tokens estimated at admission, so many milliseconds ago, become those taken. `tail` is the end of the hold.
local function correct_tokens(key, tail, taken, elapsed)
    local estimated = tonumber(string.match(tail, '^:[^:]*:(%d+)$'))
    if not estimated then return end
    for _, of in ipairs({{'', KEYS[1]}, {key .. ':', KEYS[2]}}) do
        local prefix, from = of[1], of[2]
        local most = redis.call('HGET', from, 'tokens_per_minute')
        local paid_back = redis.call('HGET', KEYS[5], prefix .. 'tokens_per_minute')
        if most and most ~= '' and paid_back then
            local each = 60000 / tonumber(most)
            -- What time has paid back already isn't given back again.
            local least = math.min(0, elapsed / each - estimated)
            local corrected = tonumber(paid_back) + math.max(taken - estimated, least) * each
            redis.call('HSET', KEYS[5], prefix .. 'tokens_per_minute', string.format('%.3f', corrected))
        end
    end
end

local function spendable(balance, overdraft, sum_held)
    -- Each is within $9M, so that it is exact; their sum has to be, too.
    return math.min(tonumber(balance) + tonumber(overdraft), 9e15) - tonumber(sum_held or '0')
end

local BUDGETS = {'day', 'week', 'month', 'total'}

-- The four budgets among the key's fields, from `first` on, where it has any.
local function budgets(fields, first)
    for i = first, first + 3 do
        if fields[i] and fields[i] ~= '' then return {unpack(fields, first, first + 3)} end
    end
end

-- The budget that so much more would exceed, or nil. `windows` are the ids of the current day, week and month.
local function exceeded_budget(limits, key, amount, windows)
    local spent = redis.call('HMGET', KEYS[2], 'spent_day', 'spent_week', 'spent_month', 'spent_total')
    local of = redis.call('HMGET', KEYS[2], 'day', 'week', 'month')
    local key_held = tonumber(redis.call('HGET', KEYS[5], key .. ':held') or '0')
    for i, name in ipairs(BUDGETS) do
        if limits[i] and limits[i] ~= '' then
            local used = key_held
            -- A newer window than ours: the clock that posted is ahead, and midnight is near.
            if name == 'total' or of[i] and of[i] >= windows[i] then used = used + tonumber(spent[i] or '0') end
            -- A free request is refused by a budget that is used up, too.
            if used + amount > tonumber(limits[i]) or used >= tonumber(limits[i]) then return name end
        end
    end
end
