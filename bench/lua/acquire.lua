-- Hands out a session of a pool without an order: at random, or the last one until it fails.
-- KEYS: the free sessions (set), the leased ones (sorted by when the lease ends), the last one handed out (string)
-- ARGV: sessions of the pool at most, hand-outs at most, lifetime in ms, lease in ms (0: none), id for a new session,
--       strategy
local lease, last = tonumber(ARGV[4]), ARGV[6] == 'use_until_failure'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local size = redis.call('SCARD', KEYS[1])
if lease > 0 then
  -- Leases that have ended: their uses are counted, and they are free again unless that was the last one.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 10)) do
    local s = redis.call('HMGET', 'p:' .. id, 'usage', 'retired')
    redis.call('ZREM', KEYS[2], id)
    if s[1] and not s[2] and tonumber(s[1]) < tonumber(ARGV[2]) then redis.call('SADD', KEYS[1], id) end
  end
  size = redis.call('SCARD', KEYS[1]) + redis.call('ZCARD', KEYS[2])
end

local function hand_out(id, usage, score, is_new)
  redis.call('HSET', 'p:' .. id, 'usage', usage, 'last_used_at', now)
  local is_last = usage >= tonumber(ARGV[2])
  if lease > 0 then
    if not is_new then redis.call('SREM', KEYS[1], id) end
    redis.call('ZADD', KEYS[2], now + lease, id)
  elseif is_last then
    if not is_new then redis.call('SREM', KEYS[1], id) end
  elseif is_new then
    redis.call('SADD', KEYS[1], id)
  end
  if last then redis.call('SET', KEYS[3], id) end
  return { id, usage, score, ARGV[2], now }
end

local function try(id)
  local s = redis.call('HMGET', 'p:' .. id, 'usage', 'score')
  if s[1] then return hand_out(id, tonumber(s[1]) + 1, s[2], false) end
  redis.call('SREM', KEYS[1], id) -- it has expired
end

if last then
  local id = redis.call('GET', KEYS[3])
  if id and redis.call('SISMEMBER', KEYS[1], id) == 1 then
    local found = try(id)
    if found then return found end
  end
end
if size < tonumber(ARGV[1]) and not (last and size > 0) then
  redis.call('HSET', 'p:' .. ARGV[5], 'errors', 0, 'score', 0, 'max_usage', ARGV[2])
  redis.call('PEXPIRE', 'p:' .. ARGV[5], ARGV[3])
  return hand_out(ARGV[5], 1, '0', true)
end
while true do
  local id = redis.call('SRANDMEMBER', KEYS[1])
  if not id then return redis.error_reply('EXHAUSTED no session is free') end
  local found = try(id)
  if found then return found end
end
