// Cookies that npm's cookie-signature and cookie made are understood by sessiond, and the other way round: 1,000 random
// values. Arguments: the port.
'use strict'
const assert = require('node:assert')
const crypto = require('node:crypto')
const signature = require('cookie-signature')
const cookie = require('cookie')
const { createClient } = require('msgpack-rpc-lite')

const VALUES = 1000
const SECRETS = ['keyboard cat', 'an older secret', 'ключ']

const client = createClient(Number(process.argv[2]), '127.0.0.1')
const request = (method, ...params) => client.request(method, ...params).then(([result]) => result)
const text = value => Buffer.isBuffer(value) ? value.toString() : value
const pick = list => list[crypto.randomInt(list.length)]

// Texts of all kinds: ids, dots, per cent signs, quotes, whatever Unicode has; never half of a surrogate pair.
function randomValue () {
  const alphabet = pick(['abcXYZ019-_', 'a.b:c;d=e,f"g%h /+', 'aé€😀 %41'])
  const characters = [...alphabet]
  return Array.from({ length: crypto.randomInt(1, 60) }, () => pick(characters)).join('')
}

async function signing () {
  for (let i = 0; i < VALUES; i++) {
    const value = randomValue()
    const key = crypto.randomInt(SECRETS.length)
    const theirs = 's:' + signature.sign(value, SECRETS[key])
    const ours = text(await request('cookie.sign', 'web', value))
    assert.equal(ours, 's:' + signature.sign(value, SECRETS[0]))
    assert.equal(signature.unsign(ours.slice(2), SECRETS[0]), value)
    for (const form of [theirs, encodeURIComponent(theirs)]) {
      const found = await request('cookie.unsign', 'web', form)
      assert.equal(text(found.value), value)
      assert.equal(found.key_index, key)
    }
    const wrong = theirs.slice(0, -1) + (theirs.endsWith('A') ? 'B' : 'A')
    assert.equal(await request('cookie.unsign', 'web', wrong), null)
    const foreign = 's:' + signature.sign(value, 'another secret')
    assert.equal(await request('cookie.unsign', 'web', foreign), null)
  }
}

// The same attributes in the words of both.
function randomAttributes () {
  const ours = {}; const theirs = { path: '/', httpOnly: true }
  const maybe = (chance, set) => { if (Math.random() < chance) set() }
  maybe(0.5, () => { ours.path = theirs.path = pick(['/', '/app', '/a b']) })
  maybe(0.5, () => { ours.domain = theirs.domain = pick(['example.org', 'a.example.org']) })
  maybe(0.5, () => { ours.expires_at = crypto.randomInt(1, 2 ** 42); theirs.expires = new Date(ours.expires_at) })
  maybe(0.5, () => { ours.http_only = theirs.httpOnly = pick([true, false]) })
  maybe(0.5, () => { ours.secure = theirs.secure = pick([true, false]) })
  maybe(0.5, () => { ours.same_site = theirs.sameSite = pick([true, false, 'strict', 'lax', 'none']) })
  maybe(0.5, () => { ours.priority = theirs.priority = pick(['low', 'medium', 'high']) })
  maybe(0.5, () => { ours.partitioned = theirs.partitioned = pick([true, false]) })
  return { ours, theirs }
}

async function headers () {
  for (let i = 0; i < VALUES; i++) {
    const value = randomValue(); const { ours, theirs } = randomAttributes()
    const header = text(await request('cookie.header', 'web', value, { attributes: ours, is_secure: true, name: 'sid' }))
    assert.equal(header, cookie.serialize('sid', value, theirs))
    assert.equal(cookie.parse(header).sid, value)
  }
}

async function main () {
  await request('namespace.configure', 'web', { cookie_secrets: SECRETS })
  await signing()
  await headers()
  console.log(`${VALUES} values signed there and here, ${VALUES} headers alike`)
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1) })
