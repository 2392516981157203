-- Says how a use went: good lowers the error score, bad raises it, retire ends it. Unusable is retired, for ever.
-- KEYS: the session (hash), the pool's free sessions
-- ARGV: id, outcome, uses to add (0: the hand-out was counted), decrement, highest score, whether there is an order
local s = redis.call('HMGET', KEYS[1], 'usage', 'score', 'errors', 'retired', 'max_usage')
if not s[1] then return false end
local usage, score, errors = tonumber(s[1]) + ARGV[3], tonumber(s[2]), tonumber(s[3])
local is_retired = ARGV[2] == 'retire'
if ARGV[2] == 'good' then
  score = math.max(0, score - ARGV[4])
elseif ARGV[2] == 'bad' then
  score, errors = score + 1, errors + 1
end
if score >= tonumber(ARGV[5]) or usage >= tonumber(s[5]) then is_retired = true end
if is_retired and not s[4] then
  score, usage = score + ARGV[5], usage + 1
  redis.call('HSET', KEYS[1], 'usage', usage, 'score', tostring(score), 'errors', errors, 'retired', 1)
  redis.call(ARGV[6] == '1' and 'ZREM' or 'SREM', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[1], 'usage', usage, 'score', tostring(score), 'errors', errors)
end
return { usage, tostring(score), (is_retired or s[4]) and 1 or 0 }
