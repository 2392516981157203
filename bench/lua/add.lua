-- Puts a new session into a pool.
-- KEYS: the session (hash), the pool's free sessions (a set, or a sorted set where the strategy has an order)
-- ARGV: id, lifetime in ms, hand-outs at most, whether there is an order
redis.call('HSET', KEYS[1], 'usage', 0, 'errors', 0, 'score', 0, 'max_usage', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if ARGV[4] == '1' then
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
else
  redis.call('SADD', KEYS[2], ARGV[1])
end
return { ARGV[1] }
