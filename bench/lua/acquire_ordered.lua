-- Hands out a session of a pool in an order: the one that rested longest (least_recent, round_robin), or the least used.
-- KEYS: the free sessions (sorted by that order), the leased ones (sorted by when the lease ends), a counter
-- ARGV: sessions of the pool at most, hand-outs at most, lifetime in ms, lease in ms (0: none), id for a new session,
--       strategy
local lease, by_usage = tonumber(ARGV[4]), ARGV[6] == 'least_used'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local size = redis.call('ZCARD', KEYS[1])
if lease > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 10)) do
    local s = redis.call('HMGET', 'p:' .. id, 'usage', 'retired', 'turn')
    redis.call('ZREM', KEYS[2], id)
    if s[1] and not s[2] and tonumber(s[1]) < tonumber(ARGV[2]) then
      redis.call('ZADD', KEYS[1], by_usage and s[1] or s[3], id)
    end
  end
  size = redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', KEYS[2])
end

local function hand_out(id, usage, score)
  local turn = by_usage and usage or redis.call('INCR', KEYS[3])
  if lease > 0 then
    redis.call('HSET', 'p:' .. id, 'usage', usage, 'last_used_at', now, 'turn', turn)
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZADD', KEYS[2], now + lease, id)
  else
    redis.call('HSET', 'p:' .. id, 'usage', usage, 'last_used_at', now)
    if usage >= tonumber(ARGV[2]) then
      redis.call('ZREM', KEYS[1], id)
    else
      redis.call('ZADD', KEYS[1], turn, id)
    end
  end
  return { id, usage, score, ARGV[2], now }
end

if size < tonumber(ARGV[1]) then
  redis.call('HSET', 'p:' .. ARGV[5], 'errors', 0, 'score', 0, 'max_usage', ARGV[2])
  redis.call('PEXPIRE', 'p:' .. ARGV[5], ARGV[3])
  return hand_out(ARGV[5], 1, '0')
end
while true do
  local id = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not id then return redis.error_reply('EXHAUSTED no session is free') end
  local s = redis.call('HMGET', 'p:' .. id, 'usage', 'score')
  if s[1] then return hand_out(id, tonumber(s[1]) + 1, s[2]) end
  redis.call('ZREM', KEYS[1], id) -- it has expired
end
