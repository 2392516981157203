-- KEYS: the session (hash), the user's sessions
-- ARGV: id
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
