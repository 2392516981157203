// npm's msgpack-rpc-lite and msgpack5rpc talk to sessiond unchanged. Arguments: which of the two, and the port.
'use strict'
const assert = require('node:assert')
const net = require('node:net')

// Each client as one function: (port) -> { request(method, ...params): Promise<result>, close() }.
const clients = {
  'msgpack-rpc-lite' (port) {
    const { createClient } = require('msgpack-rpc-lite')
    const client = createClient(port, '127.0.0.1')
    return {
      request: (method, ...params) => client.request(method, ...params).then(([result]) => result),
      close: () => client.close()
    }
  },
  msgpack5rpc (port) {
    const Session = require('msgpack5rpc')
    const session = new Session()
    const socket = net.connect(port, '127.0.0.1')
    session.attach(socket, socket)
    const request = (method, ...params) => new Promise((resolve, reject) =>
      session.request(method, params, (error, result) => error ? reject(error) : resolve(result)))
    return { request, close: () => socket.end() }
  }
}

const text = value => Buffer.isBuffer(value) ? value.toString() : value

async function talk ({ request, close }, namespace) {
  const created = await request('session.create', namespace, { id: 's1', user: 'bob', data: { cart: 1 }, timeouts: { idle_timeout_ms: 60000 } })
  assert.equal(text(created.id), 's1')
  assert.equal(created.expires_at - created.last_active_at, 60000)
  assert.deepEqual((await request('session.get', namespace, 's1')).data, { cart: 1 })
  // A number above 2^32 leaves JavaScript as a float64 in some encoders.
  const deadline = Date.now() + 3600000
  assert.equal((await request('session.expire', namespace, 's1', { absolute_expires_at: deadline })).expires_at, created.last_active_at + 60000)
  assert.equal((await request('session.patch', namespace, 's1', { incr: { cart: 2 } })).values.cart, 3)
  const counts = await Promise.all(Array.from({ length: 20 }, () => request('session.patch', namespace, 's1', { incr: { views: 1 } })))
  assert.equal(Math.max(...counts.map(c => c.values.views)), 20)
  assert.equal(await request('session.count', namespace, { user: 'bob' }), 1)
  assert.equal(await request('session.destroy', namespace, 's1'), true)
  await assert.rejects(request('session.set', namespace, 's1', {}), error => text(error.code) === 'GONE')
  assert.equal(await request('session.get', namespace, 's1'), null)
  close()
}

const [name, port] = process.argv.slice(2)
talk(clients[name](Number(port)), name).then(
  () => { console.log(name + ' talks to sessiond'); process.exit(0) },
  error => { console.error(error); process.exit(1) })
