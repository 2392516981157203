// Passwords are kept as salted scrypt hashes, and compared in constant time.
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

const derive = promisify(scrypt);
const KEY_BYTES = 32;

/** A hash with a salt of its own, as `salt:key` in base64url. */
export async function hashPassword(password) {
  const salt = randomBytes(16);
  const key = await derive(password, salt, KEY_BYTES);
  return `${salt.toString("base64url")}:${key.toString("base64url")}`;
}

// Who is unknown is compared with this one, so that the time an answer takes tells nobody which names exist.
const nobody = await hashPassword(randomBytes(16).toString("hex"));

/** Whether it is the password of the hash; without a hash it is never. */
export async function isPassword(password, passwordHash) {
  const [salt, key] = (passwordHash ?? nobody).split(":").map((part) => Buffer.from(part, "base64url"));
  const isEqual = timingSafeEqual(await derive(password, salt, KEY_BYTES), key);
  return isEqual && passwordHash !== undefined;
}
